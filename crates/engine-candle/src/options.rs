//! What the operator may choose about an embedded engine.

use std::num::NonZero;
use std::time::Duration;

/// Settings of one engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandleOptions {
    /// Compute threads; `None` takes the number of cores minus one, at least one.
    pub threads: Option<usize>,
    /// The number format of the weights in memory.
    pub dtype: Dtype,
    /// What becomes of weights that are not quantised in their file; `None` leaves them in `dtype`.
    pub quantize: Option<Quantization>,
    /// Requests that may wait for a place, at least 1; one more is refused with `QueueFull`.
    pub max_waiting: usize,
    /// How long a request may wait for a place; then it ends as `Overloaded`.
    pub max_wait: Duration,
    /// Sequences computed at the same time, at least 1.
    pub max_sequences: usize,
    /// Memory for keys and values of all sequences, running and reusable, in MiB. On a CPU it is
    /// taken as it is used; more than the machine has is refused. A cache that is too small for one
    /// sequence of the model's context shortens the context.
    pub kv_cache_mb: u32,
    /// Memory for the adapters of the model, in MiB, as they are loaded.
    pub adapters_mb: u32,
    /// The longest sequence in tokens; `None`, or more than the model was made for, takes the
    /// model's own limit. One that `kv_cache_mb` has no room for is refused.
    pub context_length: Option<u32>,
    /// Whether sequences draft tokens.
    pub speculation: Speculation,
    /// The engine's name: the value of the metrics label `engine`, and part of thread names.
    pub name: String,
}

impl Default for CandleOptions {
    fn default() -> Self {
        Self {
            threads: None,
            dtype: Dtype::default(),
            quantize: None,
            max_waiting: 64,
            max_wait: Duration::from_mins(1),
            max_sequences: 8,
            kv_cache_mb: 1024,
            adapters_mb: 1024,
            context_length: None,
            speculation: Speculation::default(),
            name: "candle".to_owned(),
        }
    }
}

impl CandleOptions {
    /// How weights are kept in memory.
    pub fn precision(&self) -> Precision {
        Precision {
            dtype: self.dtype,
            quantize: self.quantize,
        }
    }

    /// The number of compute threads to start.
    pub fn thread_count(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        self.threads_of(cores)
    }

    fn threads_of(&self, cores: usize) -> usize {
        self.threads.unwrap_or(cores.saturating_sub(1)).max(1)
    }
}

/// Whether a sequence drafts tokens that one pass verifies, where its last tokens stand earlier in it.
///
/// An answer is the same with and without, token for token, for every way of drawing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Speculation {
    /// On a CPU, as many as pay: fewer the more sequences are computed together, none where guesses
    /// were wrong. On other devices, and with `dynamic` rope scaling, none: there the rows of a pass
    /// are not the same, bit for bit, as if each were computed alone.
    #[default]
    Auto,
    /// None.
    Off,
}

/// A number format of weights.
///
/// On a CPU only the weights are kept in it; activations, caches and sums are always f32. On CUDA
/// everything but the norms' inner sums and the logits is in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dtype {
    /// 32 bits: exact for every weight file.
    #[default]
    F32,
    /// 16 bits: half the memory and, where memory is the limit, up to twice the speed; exact for
    /// bf16 files, otherwise rounded to 8 significant bits.
    Bf16,
}

/// A quantisation of weights as they are loaded: the block formats of llama.cpp.
///
/// It is for the matrices of the layers, the table of embeddings and the head; norms and biases stay
/// in f32. The head is `Q8_0` under [`Quantization::Q4_0`] as well, for it decides every token
/// (`llama-quantize` takes `Q6_K` or `Q8_0`, by the width); with tied embeddings it is the table too.
/// A matrix whose rows are no multiple of a block of 32 values stays in the [`Dtype`]. On CUDA nothing
/// is quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantization {
    /// 8 bits and a scale for 32 values: 8.5 bits a value.
    Q8_0,
    /// 4 bits and a scale for 32 values: 4.5 bits a value.
    Q4_0,
}

/// How weights are kept in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Precision {
    /// The format of what is not quantised.
    pub dtype: Dtype,
    /// What becomes of matrices that are not quantised in their file.
    pub quantize: Option<Quantization>,
}

impl From<Dtype> for Precision {
    fn from(dtype: Dtype) -> Self {
        Self {
            dtype,
            quantize: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_is_left_to_the_server_and_one_thread_computes_at_least() {
        let threads = |threads, cores| {
            let options = CandleOptions {
                threads,
                ..CandleOptions::default()
            };
            options.threads_of(cores)
        };
        assert_eq!([1, 2, 8].map(|cores| threads(None, cores)), [1, 1, 7]);
        assert_eq!([0, 1, 5].map(|own| threads(Some(own), 2)), [1, 1, 5]);
        let cores = std::thread::available_parallelism().unwrap().get();
        let options = CandleOptions::default();
        assert_eq!(options.thread_count(), (cores - 1).max(1));
    }
}
