//! Text to token ids: special tokens of the template are parsed, those in clients' text are not.

mod control_tokens;
mod encoder;
mod fim;

pub(crate) use control_tokens::ControlTokens;
pub(crate) use encoder::Encoder;
pub(crate) use fim::FimTokens;
