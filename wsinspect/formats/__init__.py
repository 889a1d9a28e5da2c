"""The neighbours' formats: JSONL (lossless), HAR on Chrome's convention, and mitmproxy's flow files.

Writers read a capture page by page; readers fill a new capture through the same indexer or the same
statements that a recorder uses. Both hold some pages in memory and never a whole file. A file that comes in
is hostile input: each error is one `CaptureError`, sizes are bounded, and nothing in it is run.
"""
