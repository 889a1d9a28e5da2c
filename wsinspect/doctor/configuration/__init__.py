"""The hop's own configuration: which place in it a URL meets, what is wrong there, and the diff that
mends it.

One reader for each software (`reading.py` knows them all), one model of what they find (`model.py`); nothing
is written. What cannot be read or decided is said, never guessed.
"""
