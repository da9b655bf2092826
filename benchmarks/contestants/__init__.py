"""Programs that people write by hand for the same work, each in a fair best form.

Client, prompts, answer models, validation and tables are paceline's own, so that the work is the
same and only its arrangement differs.
"""
