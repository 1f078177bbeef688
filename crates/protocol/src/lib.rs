//! Wire types of the public API: OpenAI chat, model list, the contract's error codes. No I/O.
