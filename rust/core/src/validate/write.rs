//! Writes canonical JSON: no white space, the shortest escapes, numbers that read back to the same number.

use std::fmt::Write as _;
use std::ops::Range;

use super::parse::{Json, parse};
use crate::error::{Error, Result};

/// The bounds of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Levels of lists and dicts inside each other, the outermost being 1.
    pub depth: usize,
    /// Bytes of canonical JSON.
    pub bytes: usize,
    /// Decimal digits of an integer.
    pub digits: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 128, bytes: 16 << 20, digits: 4_300 }
    }
}

/// One step of the path to the place that is being written.
#[derive(Debug)]
enum Step {
    /// Where the key lies in what was written, in its quotes.
    Key(Range<usize>),
    Index(usize),
}

/// Builds values, one after another. Feed it in document order; every error names the path, such as `value.a[3].b`.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    path: Vec<Step>,
    limits: Limits,
    root: &'static str,
}

impl Writer {
    /// A writer for a value that error messages call `root`.
    pub fn new(root: &'static str, limits: Limits) -> Self {
        Self { out: Vec::with_capacity(128), path: Vec::new(), limits, root }
    }

    /// Begins another value.
    pub fn clear(&mut self) {
        self.out.clear();
        self.path.clear();
    }

    /// The canonical JSON.
    pub fn json(&self) -> Result<&str> {
        std::str::from_utf8(&self.out).map_err(|_| Error::InvalidValue(format!("{}: not text", self.root)))
    }

    /// Where we are: `value.a[3].b`.
    pub fn place(&self) -> String {
        self.spell(&self.path)
    }

    /// The list or dict around the place where we are.
    pub fn parent(&self) -> String {
        self.spell(self.path.split_last().map_or(&[], |(_, above)| above))
    }

    fn spell(&self, path: &[Step]) -> String {
        let mut place = self.root.to_owned();
        for step in path {
            let key = match step {
                Step::Key(place) => self.read_key(place),
                Step::Index(_) => String::new(),
            };
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Key(_) if key.chars().all(|c| c.is_alphanumeric() || c == '_') && !key.is_empty() => {
                    write!(place, ".{key}")
                }
                Step::Key(_) => write!(place, "[{key:?}]"),
                Step::Index(index) => write!(place, "[{index}]"),
            };
        }
        place
    }

    /// A key of the path, as it was before it was quoted.
    fn read_key(&self, place: &Range<usize>) -> String {
        let quoted = self.out.get(place.clone()).and_then(|quoted| std::str::from_utf8(quoted).ok());
        match quoted.map(parse) {
            Some(Ok(Json::Text(key))) => key.into_owned(),
            _ => String::new(),
        }
    }

    /// The refusal of what stands here, for `why`.
    pub fn refuse(&self, why: &str) -> Error {
        Error::InvalidValue(format!("{}: {why}", self.place()))
    }

    /// The refusal of a key of the innermost dict.
    pub fn refuse_key(&self, why: &str) -> Error {
        Error::InvalidValue(format!("{}: {why}", self.parent()))
    }

    fn room(&self) -> Result<()> {
        if self.out.len() > self.limits.bytes {
            return Err(Error::InvalidValue(format!(
                "{} takes more than {} bytes as JSON; store a reference to it instead",
                self.root, self.limits.bytes
            )));
        }
        Ok(())
    }

    /// `null`.
    pub fn null(&mut self) -> Result<()> {
        self.out.extend_from_slice(b"null");
        self.room()
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) -> Result<()> {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
        self.room()
    }

    /// An integer of 64 bits.
    pub fn int(&mut self, value: i64) -> Result<()> {
        self.display(format_args!("{value}"))
    }

    /// An integer of any size, as its decimal digits.
    pub fn big_int(&mut self, decimal: &str) -> Result<()> {
        let digits = decimal.strip_prefix('-').unwrap_or(decimal);
        if digits.len() > self.limits.digits {
            return Err(self.refuse(&format!(
                "an integer of more than {} digits; store it as text",
                self.limits.digits
            )));
        }
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.refuse("not an integer in decimal digits"));
        }
        self.out.extend_from_slice(decimal.as_bytes());
        self.room()
    }

    /// A float, in the shortest form that reads back to the same bits.
    pub fn float(&mut self, value: f64) -> Result<()> {
        if !value.is_finite() {
            return Err(self.refuse(&format!("{value} has no place in JSON; use None or text")));
        }
        self.display(format_args!("{value:?}"))
    }

    fn display(&mut self, args: std::fmt::Arguments<'_>) -> Result<()> {
        use std::io::Write as _;
        // Writing to a Vec cannot fail.
        let _ = self.out.write_fmt(args);
        self.room()
    }

    /// Text; NUL and every other control character is kept, escaped.
    pub fn string(&mut self, text: &str) -> Result<()> {
        self.quoted(text);
        self.room()
    }

    fn quoted(&mut self, text: &str) {
        self.out.push(b'"');
        let mut rest = text;
        loop {
            let (plain, tail) = rest.split_at(plain(rest.as_bytes()));
            self.out.extend_from_slice(plain.as_bytes());
            let mut chars = tail.chars();
            match chars.next() {
                Some('"') => self.out.extend_from_slice(b"\\\""),
                Some('\\') => self.out.extend_from_slice(b"\\\\"),
                Some('\n') => self.out.extend_from_slice(b"\\n"),
                Some('\r') => self.out.extend_from_slice(b"\\r"),
                Some('\t') => self.out.extend_from_slice(b"\\t"),
                Some(other) => {
                    use std::io::Write as _;
                    let _ = write!(self.out, "\\u{:04x}", u32::from(other));
                }
                None => break,
            }
            rest = chars.as_str();
        }
        self.out.push(b'"');
    }

    /// Begins a list; write the items with [`Self::item`] before each, then [`Self::end_list`].
    pub fn begin_list(&mut self) -> Result<()> {
        self.out.push(b'[');
        self.deeper(Step::Index(0))
    }

    /// Begins item number `index` of the innermost list.
    pub fn item(&mut self, index: usize) {
        if index > 0 {
            self.out.push(b',');
        }
        if let Some(step) = self.path.last_mut() {
            *step = Step::Index(index);
        }
    }

    /// Ends the innermost list.
    pub fn end_list(&mut self) -> Result<()> {
        self.path.pop();
        self.out.push(b']');
        self.room()
    }

    /// Begins a dict; write the values with [`Self::key`] before each, then [`Self::end_dict`].
    pub fn begin_dict(&mut self) -> Result<()> {
        self.out.push(b'{');
        self.deeper(Step::Key(0..0))
    }

    /// Begins the value under `key`, the `index`-th of the innermost dict.
    pub fn key(&mut self, index: usize, key: &str) {
        if index > 0 {
            self.out.push(b',');
        }
        let start = self.out.len();
        self.quoted(key);
        if let Some(Step::Key(place)) = self.path.last_mut() {
            *place = start..self.out.len();
        }
        self.out.push(b':');
    }

    /// Ends the innermost dict.
    pub fn end_dict(&mut self) -> Result<()> {
        self.path.pop();
        self.out.push(b'}');
        self.room()
    }

    fn deeper(&mut self, step: Step) -> Result<()> {
        if self.path.len() >= self.limits.depth {
            // The whole path would be as deep as the value: show where it begins.
            self.path.truncate(4);
            return Err(self.refuse(&format!(
                "nested deeper than {} levels, or it contains itself; flatten it",
                self.limits.depth
            )));
        }
        self.path.push(step);
        self.room()
    }
}

/// How many bytes at the beginning of a text need no escape.
fn plain(text: &[u8]) -> usize {
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    // Whole blocks without a way out in the middle, so that the compiler looks at many bytes at once.
    let (blocks, _) = text.as_chunks::<16>();
    let clear = blocks.iter().take_while(|block| !block.iter().fold(false, |any, byte| any | special(byte)));
    let start = clear.count() * 16;
    let rest = text.get(start..).unwrap_or_default();
    start + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn float(value: f64) -> String {
        let mut writer = Writer::new("value", Limits::default());
        writer.float(value).unwrap();
        writer.json().unwrap().to_owned()
    }

    #[test]
    fn floats_read_back_to_the_same_bits() {
        for value in [0.0, -0.0, 1.0, 0.1, 1e308, 5e-324, f64::MAX, f64::MIN_POSITIVE, 1e16, 1e-7, -2.5] {
            let text = float(value);
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
            assert!(text.contains(['.', 'e']), "{text} would read back as an integer");
        }
    }

    #[test]
    fn errors_name_the_place() {
        let mut writer = Writer::new("value", Limits::default());
        writer.begin_dict().unwrap();
        writer.key(0, "a");
        writer.begin_list().unwrap();
        writer.item(0);
        writer.null().unwrap();
        writer.item(1);
        writer.begin_dict().unwrap();
        writer.key(0, "odd key");
        assert_eq!(
            writer.float(f64::NAN).unwrap_err().to_string(),
            "value.a[1][\"odd key\"]: NaN has no place in JSON; use None or text"
        );
    }

    #[test]
    fn every_character_that_needs_an_escape_is_found_wherever_it_stands() {
        for length in [0, 1, 15, 16, 17, 31, 32, 33, 100] {
            for special in ['"', '\\', '\n', '\0', '\u{1f}', 'ü'] {
                for at in 0..=length {
                    let text = format!("{}{special}{}", "a".repeat(at), "b".repeat(length - at));
                    let mut writer = Writer::new("value", Limits::default());
                    writer.string(&text).unwrap();
                    assert_eq!(parse(writer.json().unwrap()).unwrap(), Json::Text(text.into()));
                }
            }
        }
    }
}
