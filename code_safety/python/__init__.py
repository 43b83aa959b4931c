"""Static analysis of Python programs: names are resolved as far as the text tells, then rules are asked."""
