//! What the form of a question asks for, and which messages could answer it: times, amounts, dates, speakers.
//!
//! Small closed word lists (folded). A list of one language never acts on another: a cue only ever adds to messages, and
//! only where the question has the matching cue.

/// Question words for a time, or for an amount.
const WHEN: &[&str] =
    &["when", "wann", "quand", "cuando", "quando", "wanneer", "когда", "коли", "kiedy", "nar", "hvornar", "متي", "מתי", "कब"];
const WHEN_PAIRS: &[&str] = &["いつ", "什么时", "何时", "何時", "哪天", "几号", "언제", "เมื่อ"];
const HOW: &[&str] = &["how"];
const AMOUNT: &[&str] = &["many", "much", "old", "often", "far", "big", "tall", "long"];
const AMOUNT_WORDS: &[&str] = &[
    "combien", "cuanto", "cuantos", "cuantas", "cuanta", "quanto", "quanti", "quante", "quantos", "quantas", "wieviel",
    "wieviele", "hoeveel", "сколько", "скільки", "ile", "كم", "כמה", "कितने", "कितना",
];
const WHICH: &[&str] = &["what", "which"];
const WHICH_TIME: &[&str] = &["date", "day", "month", "year", "time"];
const WHICH_AMOUNT: &[&str] = &["number", "percentage", "age"];

/// Words that place a message in time.
const TIMES: &[&str] = &[
    "yesterday", "today", "tomorrow", "tonight", "ago", "last", "next", "week", "weekend", "month", "year", "monday", "tuesday",
    "wednesday", "thursday", "friday", "saturday", "sunday", "january", "february", "march", "april", "may", "june", "july",
    "august", "september", "october", "november", "december", "morning", "evening", "night", "since", "day", "recently",
    "years", "months", "weeks", "days", //
    "gestern", "heute", "morgen", "letzte", "letzten", "letztes", "nachste", "nachsten", "woche", "wochen", "monat", "jahr",
    "montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag", "januar", "februar", "marz", "mai", "juni",
    "juli", "oktober", "dezember", //
    "hier", "aujourd", "hui", "demain", "dernier", "derniere", "prochain", "prochaine", "semaine", "mois", "annee", "lundi",
    "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche", //
    "ayer", "hoy", "manana", "pasado", "pasada", "proximo", "proxima", "semana", "mes", "ano", "lunes", "martes", "miercoles",
    "jueves", "viernes", "sabado", "domingo", //
    "ontem", "hoje", "amanha", "ieri", "oggi", "domani", "settimana", "mese", "anno", //
    "вчера", "сегодня", "завтра", "неделе", "неделю", "месяц", "месяце", "году", "год", "понедельник", "вторник", "среду",
    "четверг", "пятницу", "субботу", "воскресенье",
];
const TIME_PAIRS: &[&str] = &["昨天", "今天", "明天", "上周", "下周", "去年", "今年", "昨日", "今日", "明日", "先週", "来週", "어제", "오늘", "내일"];

const NUMBERS: &[&str] = &[
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "dozen", "couple", "few",
    "several", "twice", "once", "hundred", "thousand", "million", "half", "first", "second", "third",
];

/// Month names, folded, in the order of the year; several languages.
const MONTHS: &[[&str; 12]] = &[
    [
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
    ],
    ["januar", "februar", "marz", "april", "mai", "juni", "juli", "august", "september", "oktober", "november", "dezember"],
    ["janvier", "fevrier", "mars", "avril", "mai", "juin", "juillet", "aout", "septembre", "octobre", "novembre", "decembre"],
    ["enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"],
    ["janeiro", "fevereiro", "marco", "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro", "novembro", "dezembro"],
    ["gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"],
];

/// A day as far as a text tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Date {
    pub(crate) year: Option<u16>,
    pub(crate) month: Option<u8>,
    pub(crate) day: Option<u8>,
}

fn month(word: &str) -> Option<u8> {
    let full = MONTHS.iter().find_map(|l| l.iter().position(|m| *m == word));
    full.and_then(|i| u8::try_from(i + 1).ok())
}

/// A month's name or its usual three-letter form.
fn month_or_short(word: &str) -> Option<u8> {
    month(word).or_else(|| {
        let short = MONTHS.first()?.iter().position(|m| word.len() >= 3 && word.len() <= 4 && m.starts_with(word));
        short.and_then(|i| u8::try_from(i + 1).ok())
    })
}

fn year(word: &str) -> Option<u16> {
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
    let near = |i: Option<usize>| i.and_then(|i| words.get(i)).and_then(number).filter(|d| (1..=31).contains(d));
    Some(Date {
        year: words.iter().find_map(|w| year(w)),
        month: words.get(at).and_then(|w| month_or_short(w)),
        day: near(at.checked_sub(1)).or_else(|| near(Some(at + 1))),
    })
}

/// What a question's form asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// A time.
    pub(crate) when: bool,
    /// An amount.
    pub(crate) amount: bool,
    /// Months it names, and years.
    pub(crate) months: Vec<u8>,
    pub(crate) years: Vec<u16>,
}

impl Asked {
    /// Reads the folded words of a question.
    pub(crate) fn new(words: &[String]) -> Self {
        let mut out = Self::default();
        for (i, w) in words.iter().enumerate() {
            let w = w.as_str();
            let next = words.get(i + 1).map_or("", String::as_str);
            let before = i.checked_sub(1).and_then(|i| words.get(i)).map_or("", String::as_str);
            out.when |= WHEN.contains(&w)
                || WHEN_PAIRS.iter().any(|p| p.starts_with(w) && w.chars().count() == 2)
                || (HOW.contains(&w) && next == "long")
                || (WHICH.contains(&w) && WHICH_TIME.contains(&next));
            out.amount |= (HOW.contains(&w) && AMOUNT.contains(&next))
                || (WHICH.contains(&w) && WHICH_AMOUNT.contains(&next))
                || AMOUNT_WORDS.contains(&w);
            if let Some(m) = month(w) {
                let sure = !matches!(w, "may" | "march" | "mars" | "mai" | "abril")
                    || next.bytes().next().is_some_and(|b| b.is_ascii_digit())
                    || before.bytes().next().is_some_and(|b| b.is_ascii_digit())
                    || matches!(
                        before,
                        "in" | "of" | "on" | "during" | "since" | "until" | "by" | "last" | "next" | "this" | "early" | "late"
                            | "mid" | "en" | "im" | "de" | "before" | "after"
                    );
                if sure {
                    out.months.push(m);
                }
            }
            out.years.extend(year(w));
        }
        out
    }

    /// How well a session of this date fits the months and years asked for, 0 to 1. What happened in a month is also
    /// told in the next one: half.
    pub(crate) fn fits(&self, date: Option<Date>) -> f32 {
        let Some(Date { year, month: Some(m), .. }) = date else { return 0.0 };
        let year_fits = |y: Option<u16>| self.years.is_empty() || y.is_none_or(|y| self.years.contains(&y));
        if self.months.contains(&m) && year_fits(year) {
            return 1.0;
        }
        let (before, year_before) = if m == 1 { (12, year.map(|y| y.saturating_sub(1))) } else { (m - 1, year) };
        if self.months.contains(&before) && year_fits(year_before) { 0.5 } else { 0.0 }
    }
}

/// True for a word that places a message in time.
pub(crate) fn is_time(word: &str) -> bool {
    year(word).is_some() || TIMES.contains(&word) || TIME_PAIRS.contains(&word)
}

/// True for a word that is an amount.
pub(crate) fn is_number(word: &str) -> bool {
    word.bytes().any(|b| b.is_ascii_digit()) || NUMBERS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::{Asked, Date, parse_date};
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

    #[test]
    fn questions_show_what_they_ask_for() {
        assert!(Asked::new(&split("When did we meet?")).when);
        assert!(Asked::new(&split("Wann waren wir dort?")).when);
        assert!(Asked::new(&split("How many cats?")).amount);
        assert_eq!(Asked::new(&split("What happened in May 2023?")).months, [5]);
        assert!(Asked::new(&split("Where may I park?")).months.is_empty());
    }
}
