//! What the form of a question asks for, and which messages could answer it: times, amounts, dates.
//!
//! Small closed word lists (folded). A list of one language never acts on another: a cue only ever adds to messages, and
//! only where the question has the matching cue.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::dates::{Date, day, month, year};

/// Question words for a time; in scripts without spaces, the pairs of characters that stand for one.
const WHEN: &[&str] = &[
    "when",
    "wann",
    "quand",
    "cuando",
    "quando",
    "wanneer",
    "когда",
    "коли",
    "kiedy",
    "nar",
    "hvornar",
    "متي",
    "מתי",
    "कब",
    "いつ",
    "么时",
    "何时",
    "何時",
    "哪天",
    "几号",
    "언제",
];
/// What makes a question of "how …" one for an amount.
const AMOUNT: &[&str] = &["many", "much", "old", "often", "far", "big", "tall", "long"];
/// Question words for an amount.
const AMOUNT_WORDS: &[&str] = &[
    "combien",
    "cuanto",
    "cuantos",
    "cuantas",
    "cuanta",
    "quanto",
    "quanti",
    "quante",
    "quantos",
    "quantas",
    "wieviel",
    "wieviele",
    "hoeveel",
    "сколько",
    "скільки",
    "ile",
    "كم",
    "כמה",
    "कितने",
    "कितना",
];
/// What makes a question of "which …" one for a time, or for an amount.
const WHICH_TIME: &[&str] = &["date", "day", "month", "year", "time"];
const WHICH_AMOUNT: &[&str] = &["number", "percentage", "age"];

/// Words that place a message in time.
const TIMES: &str = "yesterday today tomorrow tonight ago last next week weekend month year monday tuesday wednesday \
    thursday friday saturday sunday january february march april may june july august september october \
    november december morning evening night since day recently years months weeks days gestern heute \
    morgen letzte letzten letztes nachste nachsten woche wochen monat jahr montag dienstag mittwoch \
    donnerstag freitag samstag sonntag januar februar marz mai juni juli oktober dezember hier aujourd \
    hui demain dernier derniere prochain prochaine semaine mois annee lundi mardi mercredi jeudi \
    vendredi samedi dimanche ayer hoy manana pasado pasada proximo proxima semana mes ano lunes martes \
    miercoles jueves viernes sabado domingo ontem hoje amanha ieri oggi domani settimana mese anno \
    вчера сегодня завтра неделе неделю месяц месяце году год понедельник вторник среду четверг пятницу \
    субботу воскресенье 昨天 今天 明天 上周 下周 去年 今年 昨日 今日 明日 先週 来週 어제 오늘 내일";

/// Words for numbers.
const NUMBERS: &str = "one two three four five six seven eight nine ten eleven twelve dozen couple few several twice once \
    hundred thousand million half first second third";

static TIME_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| TIMES.split_whitespace().collect());
static NUMBER_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| NUMBERS.split_whitespace().collect());

/// See [`crate::make_all`].
pub(super) fn make_all() {
    LazyLock::force(&TIME_SET);
    LazyLock::force(&NUMBER_SET);
}

/// What a question's form asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// A time.
    pub(crate) when: bool,
    /// An amount.
    pub(crate) amount: bool,
    /// Months it names, days beside them, and years.
    pub(crate) months: Vec<u8>,
    pub(crate) days: Vec<u8>,
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
                || (w == "how" && next == "long")
                || (matches!(w, "what" | "which") && WHICH_TIME.contains(&next));
            out.amount |= (w == "how" && AMOUNT.contains(&next))
                || (matches!(w, "what" | "which") && WHICH_AMOUNT.contains(&next))
                || AMOUNT_WORDS.contains(&w);
            if let Some(m) = month(w) {
                let sure = !matches!(w, "may" | "march" | "mars" | "mai" | "abril")
                    || next.bytes().next().is_some_and(|b| b.is_ascii_digit())
                    || before.bytes().next().is_some_and(|b| b.is_ascii_digit())
                    || matches!(
                        before,
                        "in" | "of"
                            | "on"
                            | "during"
                            | "since"
                            | "until"
                            | "by"
                            | "last"
                            | "next"
                            | "this"
                            | "early"
                            | "late"
                            | "mid"
                            | "en"
                            | "im"
                            | "de"
                            | "before"
                            | "after"
                    );
                if sure {
                    out.months.push(m);
                    out.days.extend(day(before).or_else(|| day(next)));
                }
            }
            out.years.extend(year(w));
        }
        out
    }

    /// How well a session of this date fits the day, month and year asked for: 1 for the month, more within three days
    /// after a day, less beyond. What happened in a month is also told in the next one: half.
    pub(crate) fn fits(&self, date: Option<Date>) -> f32 {
        let Some(Date { year, month: Some(m), day }) = date else { return 0.0 };
        let year_fits = |y: Option<u16>| self.years.is_empty() || y.is_none_or(|y| self.years.contains(&y));
        if self.months.contains(&m) && year_fits(year) {
            return match day {
                Some(told) if !self.days.is_empty() => {
                    let soon = |d: &u8| (0..=3).contains(&(i16::from(told) - i16::from(*d)));
                    if self.days.iter().any(soon) { 1.5 } else { 0.8 }
                }
                _ => 1.0,
            };
        }
        let (before, year_before) =
            if m == 1 { (12, year.map(|y| y.saturating_sub(1))) } else { (m - 1, year) };
        if self.months.contains(&before) && year_fits(year_before) { 0.5 } else { 0.0 }
    }
}

/// True for a word that places a message in time.
pub(crate) fn is_time(word: &str) -> bool {
    year(word).is_some() || TIME_SET.contains(word)
}

/// True for a word that is an amount.
pub(crate) fn is_number(word: &str) -> bool {
    word.bytes().any(|b| b.is_ascii_digit()) || NUMBER_SET.contains(word)
}

#[cfg(test)]
mod tests {
    use super::Asked;
    use crate::lexical::words;

    fn split(text: &str) -> Vec<String> {
        let mut v = Vec::new();
        words(text, |w| v.push(w.to_owned()));
        v
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
