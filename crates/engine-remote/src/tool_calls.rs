//! The tool calls of one choice, from the pieces that servers send in several manners.

use silica_engine::Delta;
use silica_types::{SharedClock, new_uuid};

use crate::RemoteError;
use crate::wire::ToolCallPiece;

/// The most calls of one choice.
const MOST_CALLS: usize = 128;

/// The calls that have begun, in the order of their begin.
#[derive(Debug, Default)]
pub(crate) struct ToolCalls {
    begun: Vec<Begun>,
}

/// How the upstream knows a call that has begun.
#[derive(Debug)]
struct Begun {
    index: Option<u32>,
    id: Option<String>,
}

impl ToolCalls {
    /// Turns one piece into what it adds. Calls get ids of ours: the upstream's are not unique
    /// everywhere, and name what stands behind this service.
    ///
    /// # Errors
    /// When it is a piece of no call, or there are too many.
    pub(crate) fn piece(
        &mut self,
        mut piece: ToolCallPiece,
        clock: &SharedClock,
    ) -> Result<Vec<Delta>, RemoteError> {
        let (name, fragment) = piece.function();
        let id = piece.id.take().filter(|id| !id.is_empty());
        let mut deltas = Vec::new();
        let position = match self.position(piece.index, id.as_deref(), !name.is_empty()) {
            Some(position) => position,
            None if name.is_empty() => return Err(RemoteError::frame("a tool call without a name")),
            None if self.begun.len() == MOST_CALLS => {
                return Err(RemoteError::frame("too many tool calls"));
            }
            None => {
                self.begun.push(Begun {
                    index: piece.index,
                    id,
                });
                let position = self.begun.len() - 1;
                deltas.push(Delta::ToolCallStarted {
                    index: number(position),
                    id: new_uuid(clock.as_ref()).simple().to_string(),
                    name,
                });
                position
            }
        };
        if !fragment.is_empty() {
            deltas.push(Delta::ToolCallArguments {
                index: number(position),
                fragment,
            });
        }
        Ok(deltas)
    }

    /// The call that a piece belongs to; `None` when it begins one. Servers exist that number all
    /// calls 0, or none, and tell them apart by their ids.
    fn position(&self, index: Option<u32>, id: Option<&str>, is_named: bool) -> Option<usize> {
        let position = match index {
            Some(_) => self.begun.iter().rposition(|call| call.index == index)?,
            None => self.begun.len().checked_sub(1)?,
        };
        let known = self.begun.get(position)?.id.as_deref();
        let is_another = is_named && id.is_some() && known.is_some() && id != known;
        (!is_another).then_some(position)
    }
}

fn number(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use silica_types::SystemClock;

    use super::*;

    /// What the pieces add, with `+name` for a begin.
    fn play(pieces: &[&str]) -> Result<Vec<(u32, String)>, RemoteError> {
        let clock: SharedClock = Arc::new(SystemClock);
        let mut calls = ToolCalls::default();
        let mut found = Vec::new();
        for piece in pieces {
            for delta in calls.piece(serde_json::from_str(piece).unwrap(), &clock)? {
                found.push(match delta {
                    Delta::ToolCallStarted { index, id, name } => {
                        assert_eq!(id.len(), 32);
                        (index, format!("+{name}"))
                    }
                    Delta::ToolCallArguments { index, fragment } => (index, fragment),
                    _ => unreachable!("pieces of tool calls only"),
                });
            }
        }
        Ok(found)
    }

    fn said(expected: &[(u32, &str)]) -> Vec<(u32, String)> {
        expected
            .iter()
            .map(|&(index, text)| (index, text.to_owned()))
            .collect()
    }

    #[test]
    fn pieces_go_to_the_call_of_their_number() {
        let found = play(&[
            r#"{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}"#,
            r#"{"index":0,"id":null,"type":null,"function":{"name":"","arguments":"{\"x\""}}"#,
            r#"{"index":0,"function":{"arguments":":1}"}}"#,
            r#"{"index":3,"id":"b","function":{"name":"g","arguments":"{}"}}"#,
        ]);
        let expected = [(0, "+f"), (0, "{\"x\""), (0, ":1}"), (1, "+g"), (1, "{}")];
        assert_eq!(found.unwrap(), said(&expected));
    }

    #[test]
    fn calls_without_numbers_or_all_numbered_0_are_told_apart_by_their_ids() {
        for index in ["", r#""index":0,"#] {
            let call = |id, name| {
                format!(r#"{{{index}"id":"{id}","function":{{"name":"{name}","arguments":"{{}}"}}}}"#)
            };
            let found = play(&[&call("a", "f"), &call("b", "f")]).unwrap();
            assert_eq!(found, said(&[(0, "+f"), (0, "{}"), (1, "+f"), (1, "{}")]));
        }
    }

    #[test]
    fn a_piece_of_no_call_is_refused() {
        let nameless = play(&[r#"{"index":0,"function":{"arguments":"{}"}}"#]);
        assert!(matches!(nameless, Err(RemoteError::Malformed { .. })));
    }
}
