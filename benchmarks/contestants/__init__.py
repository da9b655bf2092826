"""Hand-written programs for the same work, each written as well as possible.

They use paceline's client, prompts, answer models, validation and tables, so that the work is the
same and only its scheduling differs.
"""
