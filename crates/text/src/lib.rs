//! Token-level engine to chat engine: templates, stop texts, reasoning, tools, prefix and FIM.
