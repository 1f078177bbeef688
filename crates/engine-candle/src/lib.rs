//! Embedded text engine on candle: decoder families, caches, sampler and the engine thread.
