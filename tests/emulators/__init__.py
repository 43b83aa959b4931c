"""Twins of outside services that speak their real protocols over real HTTP, and refuse what those refuse."""
