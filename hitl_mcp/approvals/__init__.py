"""The life of an approval request: pure state machine and quorum, the service around them, and its ports."""
