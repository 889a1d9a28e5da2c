"""The report: one HTML page of a capture, for those who have to mend what is wrong and do not know wsinspect.

`content` reads the capture, `page` writes. Nothing is loaded from elsewhere,
and what peers sent never becomes markup or script: everything is escaped, and the page's own policy lets no
other script run.
"""
