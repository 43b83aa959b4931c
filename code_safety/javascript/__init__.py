"""Static analysis of JavaScript, by queries over tree-sitter's syntax tree."""
