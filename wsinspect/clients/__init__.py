"""How clients cope: sessions out of single connections, outages, what clients did, and grades.

Sans-I/O: facts of connections and messages in, judgements out. `diagnosis.clients` reads the
facts from a capture.
"""
