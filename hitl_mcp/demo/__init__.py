"""The whole story in one terminal: both servers, an agent, a person, and every refusal, all of it real."""
