"""Packets in and out: WebSockets found in what tcpdump or Wireshark recorded, and captures written as pcapng.

Going in, each module feeds the next, none does I/O, and what a peer sent never raises:

    files         pcap and pcapng: packets with times, TLS secrets
    link          a packet's addresses and TCP segment
    tcp           segments of a conversation as two streams of bytes: order, repeats, gaps, ends
    tls           records, decrypted with secrets of SSLKEYLOGFILE
    http1, http2  opening handshakes (RFC 6455, RFC 8441), and the bytes after them
    conversation  all of that around one TCP connection
    reader        the records that the recorder's indexer makes a capture of

Going out, `writer` makes synthetic TCP of a capture.
"""
