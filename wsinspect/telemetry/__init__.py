"""What a running proxy sends to an OpenTelemetry collector: spans, and metrics.

A process of its own follows the capture, as any reader does, so the relay does not know of it: `spans` and
`following` say what there is to send, `collector` sends it with the official SDK (the extra `otel`), and
`process` runs both.
"""
