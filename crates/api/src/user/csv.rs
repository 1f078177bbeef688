//! Writing CSV (RFC 4180) that spreadsheets do not take for formulas.

use std::fmt::Display;

/// Rows of text, one a line, ended by CR LF.
#[derive(Debug, Default)]
pub(crate) struct Csv {
    text: String,
    in_row: bool,
}

impl Csv {
    /// Appends a cell that we made ourselves: a name of a column, a number, an amount, a day.
    pub(crate) fn plain(&mut self, value: impl Display) {
        self.write(&value.to_string());
    }

    /// Appends a cell with somebody's text. One that a spreadsheet would take for a formula gets an
    /// apostrophe before it (OWASP, "CSV Injection").
    pub(crate) fn text(&mut self, value: &str) {
        if value.starts_with([
            '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
        ]) {
            self.write(&format!("'{value}"));
        } else {
            self.write(value);
        }
    }

    /// Ends the row.
    pub(crate) fn end_row(&mut self) {
        self.text.push_str("\r\n");
        self.in_row = false;
    }

    /// Returns what was written.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn write(&mut self, value: &str) {
        if self.in_row {
            self.text.push(',');
        }
        self.in_row = true;
        if value.contains(['"', ',', '\r', '\n']) {
            self.text.push('"');
            self.text.push_str(&value.replace('"', "\"\""));
            self.text.push('"');
        } else {
            self.text.push_str(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_with_separators_are_quoted() {
        let mut csv = Csv::default();
        csv.plain("a");
        csv.plain(-1);
        csv.end_row();
        csv.text("");
        csv.text("one, \"two\"\r\nthree");
        csv.end_row();
        assert_eq!(csv.finish(), "a,-1\r\n,\"one, \"\"two\"\"\r\nthree\"\r\n");
    }

    #[test]
    fn texts_that_look_like_formulas_are_taken_for_texts() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"] {
            let mut csv = Csv::default();
            csv.text(text);
            let written = csv.finish();
            assert!(
                written.starts_with('\'') || written.starts_with("\"'"),
                "{written:?}"
            );
        }
    }
}
