//! Moderation without I/O: which parts of a text are judged when ([`HeldAnswer`], [`pieces`]), and a judge
//! that lives in the process ([`WordList`]).
//!
//! An answer that streams is judged in windows. Each window begins so many characters before the end of
//! the one before it that nothing which belongs together is cut, and those characters are held back
//! until the next window has passed: of a listed word that stands on a border, not even the beginning
//! goes out.
//!
//! What JSON spells out (`\u0041`) counts as the character it is, and is judged as such, too ([`spellings`]).
//!
//! Borders are put only where no character joins the one before it: a window's text says the same alone
//! as within the whole.

mod border;
mod escape;
mod held;
mod pieces;
mod words;

pub use escape::spellings;
pub use held::{HeldAnswer, Windows};
pub use pieces::pieces;
pub use words::{WordList, WordListError};
