//! Reads JSON back, for filters and for the text of a value: borrowed where it can be, numbers kept as written.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::error::{Error, Result};

/// A JSON value that borrows from its text.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number as it is written.
    Number(&'a str),
    /// Text, unescaped.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Json<'a>>),
    /// A dict, in the order it was written.
    Dict(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// The value under `key`, if this is a dict that has it.
    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Self::Dict(fields) => fields.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Whether two values are the same: numbers by value (`1` is `1.0`), dicts in any order, and a boolean is
    /// no number.
    pub fn same(&self, other: &Json<'_>) -> bool {
        match (self, other) {
            (Self::Null, Json::Null) => true,
            (Self::Bool(a), Json::Bool(b)) => a == b,
            (Self::Number(a), Json::Number(b)) => a == b || compare_numbers(a, b) == Ordering::Equal,
            (Self::Text(a), Json::Text(b)) => a == b,
            (Self::List(a), Json::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Self::Dict(a), Json::Dict(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, value)| other.get(key).is_some_and(|b| value.same(b)))
            }
            _ => false,
        }
    }

    /// The order of two numbers or of two texts (by code point); `None` between anything else.
    pub fn order(&self, other: &Json<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(a), Json::Number(b)) => Some(compare_numbers(a, b)),
            (Self::Text(a), Json::Text(b)) => Some(a.as_ref().cmp(b.as_ref())),
            _ => None,
        }
    }
}

/// Orders two JSON numbers exactly: integers of any length, floats, and one against the other.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (Number::of(a), Number::of(b));
    match (a, b) {
        (Number::Float(a), Number::Float(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (Number::Int(a), Number::Int(b)) => compare_ints(a, b),
        (Number::Int(a), Number::Float(b)) => compare_mixed(a, b),
        (Number::Float(a), Number::Int(b)) => compare_mixed(b, a).reverse(),
    }
}

enum Number<'a> {
    Int(&'a str),
    Float(f64),
}

impl<'a> Number<'a> {
    fn of(text: &'a str) -> Self {
        if text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) {
            Self::Float(text.parse().unwrap_or(0.0))
        } else {
            Self::Int(text)
        }
    }
}

fn compare_ints(a: &str, b: &str) -> Ordering {
    let split = |text: &'_ str| -> (bool, usize) { (text.starts_with('-'), text.len()) };
    let ((a_negative, a_length), (b_negative, b_length)) = (split(a), split(b));
    match (a_negative, b_negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        // No leading zeros: the longer is the larger, and equal lengths compare as text.
        (false, false) => a_length.cmp(&b_length).then_with(|| a.cmp(b)),
        (true, true) => b_length.cmp(&a_length).then_with(|| b.cmp(a)),
    }
}

/// An integer against a float, without rounding either.
fn compare_mixed(int: &str, float: f64) -> Ordering {
    let whole = float.trunc();
    // `{:.0}` prints every digit of a float that is a whole number.
    let digits = format!("{whole:.0}");
    let digits = if digits == "-0" { "0" } else { digits.as_str() };
    compare_ints(int, digits).then_with(|| 0.0f64.partial_cmp(&(float - whole)).unwrap_or(Ordering::Equal))
}

/// Parses one JSON document of at most 130 levels.
///
/// # Errors
/// [`Error::StorageCorrupt`]: what we store is canonical JSON, so anything else is damage.
pub fn parse(text: &str) -> Result<Json<'_>> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.space();
    if parser.at == text.len() { Ok(value) } else { Err(parser.damaged()) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn damaged(&self) -> Error {
        Error::StorageCorrupt(format!(
            "a stored value is not JSON at byte {}; restore the file from a backup",
            self.at
        ))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Result<()> {
        self.space();
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.damaged())
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.damaged())
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>> {
        if depth > 130 {
            return Err(self.damaged());
        }
        self.space();
        match self.peek() {
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'{') => {
                let mut fields = Vec::new();
                self.sequence(b'}', |parser| {
                    parser.space();
                    let key = parser.string()?;
                    parser.eat(b':')?;
                    fields.push((key, parser.value(depth + 1)?));
                    Ok(())
                })?;
                Ok(Json::Dict(fields))
            }
            Some(b'[') => {
                let mut items = Vec::new();
                self.sequence(b']', |parser| {
                    items.push(parser.value(depth + 1)?);
                    Ok(())
                })?;
                Ok(Json::List(items))
            }
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
                    self.at += 1;
                }
                Ok(Json::Number(self.text.get(start..self.at).unwrap_or_default()))
            }
            _ => Err(self.damaged()),
        }
    }

    fn sequence(&mut self, close: u8, mut one: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.at += 1;
        self.space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            one(self)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.damaged()),
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.damaged());
        }
        self.at += 1;
        let mut text: Cow<'a, str> = Cow::Borrowed("");
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let length = rest.bytes().position(|b| b == b'"' || b == b'\\').ok_or_else(|| self.damaged())?;
            let plain = rest.get(..length).unwrap_or_default();
            text = if text.is_empty() { Cow::Borrowed(plain) } else { Cow::Owned(text.into_owned() + plain) };
            self.at += length;
            if self.peek() == Some(b'"') {
                self.at += 1;
                return Ok(text);
            }
            self.at += 1;
            let escaped = self.escape()?;
            text.to_mut().push(escaped);
        }
    }

    fn escape(&mut self) -> Result<char> {
        let letter = self.peek();
        self.at += 1;
        Ok(match letter {
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'u') => {
                let first = self.hex()?;
                if (0xd800..0xdc00).contains(&first) {
                    self.eat(b'\\')?;
                    self.eat(b'u')?;
                    let second = self.hex()?;
                    let code = 0x10000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff);
                    char::from_u32(code).ok_or_else(|| self.damaged())?
                } else {
                    char::from_u32(first).ok_or_else(|| self.damaged())?
                }
            }
            _ => return Err(self.damaged()),
        })
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).ok_or_else(|| self.damaged())?;
        let code = u32::from_str_radix(digits, 16).map_err(|_| self.damaged())?;
        self.at += 4;
        Ok(code)
    }
}

/// The text of a value for search: its strings, in the order they are written, joined by newlines. Keys, numbers
/// and booleans are left out: they are for filters.
pub fn text_of(value: &Json<'_>) -> String {
    fn walk(value: &Json<'_>, out: &mut String) {
        match value {
            Json::Text(text) if !text.is_empty() => {
                if !out.is_empty() {
                    out.push('\n');
                }
                out.push_str(text);
            }
            Json::List(items) => items.iter().for_each(|item| walk(item, out)),
            Json::Dict(fields) => fields.iter().for_each(|(_, value)| walk(value, out)),
            _ => {}
        }
    }
    let mut out = String::new();
    walk(value, &mut out);
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_without_rounding() {
        let order = |a: &str, b: &str| compare_numbers(a, b);
        assert_eq!(order("9007199254740993", "9007199254740992.0"), Ordering::Greater);
        assert_eq!(order("9007199254740993", "9007199254740993"), Ordering::Equal);
        assert_eq!(order("-3", "-3.5"), Ordering::Greater);
        assert_eq!(order("-4", "-3.5"), Ordering::Less);
        assert_eq!(order("0", "-0.0"), Ordering::Equal);
        assert_eq!(order("10", "9"), Ordering::Greater);
        assert_eq!(order("-10", "-9"), Ordering::Less);
        assert_eq!(order(&"9".repeat(400), "1e308"), Ordering::Greater);
        assert_eq!(order("1", "1.0"), Ordering::Equal);
        assert_eq!(order("0", "0.5"), Ordering::Less);
        assert_eq!(order("0", "-0.5"), Ordering::Greater);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        for text in [
            "",
            "{",
            "[1,",
            "\"a",
            "\"\\u12",
            "\"\\ud800x\"",
            "nul",
            "{\"a\" 1}",
            "[1 2]",
            "\u{e9}",
            "1 2",
            "\"\\q\"",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn text_is_the_strings_in_order() {
        let value = parse(r#"{"a":"one","n":3,"l":["two",{"b":"th\nree"}],"e":""}"#).unwrap();
        assert_eq!(text_of(&value), "one\ntwo\nth\nree");
    }
}
