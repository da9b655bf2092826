"""Export formats: an HTML site, GIFT, QTI 2.1 and Anki packages."""
