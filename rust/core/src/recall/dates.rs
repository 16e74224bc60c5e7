//! Dates as people write them: ISO 8601, and month names of several languages.

/// Month names, folded, in the order of the year; several languages.
#[rustfmt::skip]
const MONTHS: &[[&str; 12]] = &[
    ["january", "february", "march", "april", "may", "june",
     "july", "august", "september", "october", "november", "december"],
    ["januar", "februar", "marz", "april", "mai", "juni",
     "juli", "august", "september", "oktober", "november", "dezember"],
    ["janvier", "fevrier", "mars", "avril", "mai", "juin",
     "juillet", "aout", "septembre", "octobre", "novembre", "decembre"],
    ["enero", "febrero", "marzo", "abril", "mayo", "junio",
     "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"],
    ["janeiro", "fevereiro", "marco", "abril", "maio", "junho",
     "julho", "agosto", "setembro", "outubro", "novembro", "dezembro"],
    ["gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno",
     "luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"],
];

/// A day as far as a text tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Date {
    pub(crate) year: Option<u16>,
    pub(crate) month: Option<u8>,
    pub(crate) day: Option<u8>,
}

pub(super) fn month(word: &str) -> Option<u8> {
    let full = MONTHS.iter().find_map(|l| l.iter().position(|m| *m == word));
    full.and_then(|i| u8::try_from(i + 1).ok())
}

/// A month's name or its usual three-letter form.
fn month_or_short(word: &str) -> Option<u8> {
    month(word).or_else(|| {
        let short =
            MONTHS.first()?.iter().position(|m| word.len() >= 3 && word.len() <= 4 && m.starts_with(word));
        short.and_then(|i| u8::try_from(i + 1).ok())
    })
}

pub(super) fn year(word: &str) -> Option<u16> {
    word.parse().ok().filter(|y| word.len() == 4 && (1900..=2199).contains(y))
}

/// Reads the date in a session's metadata: ISO 8601, or a month's name with a day and a year around it.
pub(crate) fn parse_date(words: &[String]) -> Option<Date> {
    let number = |w: &String| w.parse::<u8>().ok().filter(|_| w.len() <= 2);
    for (i, w) in words.iter().enumerate() {
        if let (Some(y), Some(m)) = (year(w), words.get(i + 1).and_then(number))
            && (1..=12).contains(&m)
        {
            // "15t10" is what an ISO time leaves of the day.
            let day = words.get(i + 2).and_then(|d| d.split('t').next()?.parse().ok());
            return Some(Date { year: Some(y), month: Some(m), day: day.filter(|d| (1..=31).contains(d)) });
        }
    }
    let at = words.iter().position(|w| month_or_short(w).is_some())?;
    let near =
        |i: Option<usize>| i.and_then(|i| words.get(i)).and_then(number).filter(|d| (1..=31).contains(d));
    Some(Date {
        year: words.iter().find_map(|w| year(w)),
        month: words.get(at).and_then(|w| month_or_short(w)),
        day: near(at.checked_sub(1)).or_else(|| near(Some(at + 1))),
    })
}

/// A day of the month as a question writes it: `8`, `8th`.
pub(super) fn day(word: &str) -> Option<u8> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let ending = word.get(digits.len()..)?;
    let fine = matches!(ending, "" | "st" | "nd" | "rd" | "th") && (1..=2).contains(&digits.len());
    digits.parse().ok().filter(|d| fine && (1..=31).contains(d))
}

#[cfg(test)]
mod tests {
    use super::{Date, parse_date};
    use crate::lexical::words;

    fn split(text: &str) -> Vec<String> {
        let mut v = Vec::new();
        words(text, |w| v.push(w.to_owned()));
        v
    }

    #[test]
    fn dates_are_read_in_the_usual_forms() {
        let date = |y, m, d| Some(Date { year: Some(y), month: Some(m), day: Some(d) });
        assert_eq!(parse_date(&split("2025-01-15")), date(2025, 1, 15));
        assert_eq!(parse_date(&split("2025-01-15T10:20:00Z")), date(2025, 1, 15));
        assert_eq!(parse_date(&split("1:56 pm on 8 May, 2023")), date(2023, 5, 8));
        assert_eq!(parse_date(&split("March-15-2024")), date(2024, 3, 15));
        assert_eq!(parse_date(&split("some day")), None);
    }
}
