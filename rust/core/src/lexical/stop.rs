//! Function words: what a question is made of, and what it is about.
//!
//! Documents are indexed whole; only questions are thinned, and only by the list of the language they are in, so that
//! a content word of one language (German `Kind`, Spanish `once`) is never lost to the list of another.

use std::collections::HashMap;
use std::sync::LazyLock;

use hashbrown::HashTable;

use super::stem::stem;
use super::vocab::hash;

const ENGLISH: &str = "a an the and or but if of to in on at by for with about from into as is are was were be been \
    being am do does did done doing have has had having i me my mine we us our ours you your yours he him his she her \
    hers it its they them their theirs this that these those there here what which who whom whose when where why how \
    will would shall should can could may might must not no nor so than too very just also any some all both each more \
    most other such only own same then once s t don didn doesn isn wasn weren ve ll re d m im ive id youre hes shes \
    thats whats lets cant dont didnt doesnt isnt wasnt";

/// Words that say how an English question is asked, not what it is about.
const ENGLISH_QUESTION: &str = "many much long ago kind type sort way ways name list tell know say said mention \
    mentioned talk talked describe described discuss discussed explain recently currently ever get got give gave use \
    used like likes make made thing things time times during after before between please anything something someone \
    since";

/// Function words of other languages, folded. The first of each list is its name.
const OTHERS: &[&str] = &[
    "de der die das den dem des ein eine einen einem einer und oder aber nicht ist sind war waren hat haben hatte ich \
     du er sie es wir ihr mein meine mich mir dich dir sich was wer wie wo wann warum welche welcher welches auf aus \
     bei mit nach von zu zum zur im in an am fur uber habe hast kann wird wurde dass als auch noch schon sehr",
    "fr le la les l un une des du de d et ou mais ne pas n est sont etait ai as a avons avez ont je j tu il elle on \
     nous vous ils elles mon ma mes ton ta tes son sa ses que qu qui quoi quel quelle quels quelles comment ou quand \
     pourquoi combien dans sur sous avec pour par au aux en ce cette ces c se s me m te t y plus tres est-ce",
    "es el la los las un una unos unas de del al y o pero no es son era fue ser estar esta estan ha han he hay yo tu \
     el ella nosotros ellos mi mis su sus me te se lo le les que quien cual cuales como donde cuando cuanto cuantos \
     por para con sin en sobre a muy mas ya tambien tiene tengo tenia",
    "pt o a os as um uma de do da dos das no na nos nas e ou mas nao eu tu ele ela eles elas meu minha seu sua que quem \
     qual quais como onde quando quanto quantos por para com sem em sobre ao foi era sao esta muito mais ja tambem \
     tem tenho",
    "it il lo la i gli le un uno una di del della dei delle da dal in nel nella e o ma non e sono era ho hai ha io tu \
     lui lei noi voi loro mio mia suo sua mi ti si ci che chi quale quali come dove quando quanto perche per con su a \
     al alla molto piu gia anche",
    "nl de het een en of maar niet is zijn was waren heeft hebben had ik jij je hij zij ze wij we mijn jouw haar ons \
     wat wie hoe waar wanneer waarom welke op uit bij met naar van te in aan om voor over ook nog al zeer",
    "sv en ett och eller men inte ar var har hade jag du han hon vi ni de min mitt din sin vad vem hur var nar varfor \
     vilken vilket pa i av med till fran om som det den att for ocksa",
    "pl i oraz lub ale nie jest sa byl byla bylo ma mam ja ty on ona my wy oni moj moja co kto jak gdzie kiedy \
     dlaczego ktory ktora w we na z ze do od o po za przez dla sie ten ta to ze juz tez bardzo",
    "tr bir ve veya ama degil ben sen o biz siz onlar benim senin bu su ne kim nasil nerede ne zaman neden hangi icin \
     ile gibi daha cok mi mu var yok da de",
    "id yang dan atau tetapi tidak adalah ini itu saya aku kamu dia kami kita mereka apa siapa bagaimana di mana kapan \
     mengapa ke dari untuk dengan pada sudah akan juga",
    "ru и или но не что кто как где когда почему какой какая какие я ты он она мы вы они мой моя мое его ее их мне \
     меня тебе себя в во на с со к у о об от до за по из для это этот эта был была было были есть же ли бы уже очень",
    "uk і або але не що хто як де коли чому який яка я ти він вона ми ви вони мій моя в у на з до від за по для це \
     був була було є же чи вже дуже",
    "el ο η το οι τα του τησ των τον την και η αλλα δεν ειναι ηταν εχω εχει εγω εσυ αυτοσ αυτη μου σου τι ποιοσ ποια \
     πωσ που ποτε γιατι σε στο στη στην με για απο θα να",
    "ar و او لكن لا ما من هو هي انا انت نحن هم هذا هذه ذلك كيف اين متي لماذا ماذا هل في علي الي عن مع كان كانت قد ان",
    "he של את על עם אל או אבל לא כן זה זאת הוא היא אני אתה אנחנו הם מה מי איך איפה מתי למה כמה היה היתה יש אין",
    "hi है हैं था थी थे का की के को में से पर और या लेकिन नहीं मैं तुम आप वह यह हम मेरा मेरी मेरे क्या कौन कैसे कहाँ कब क्यों ने भी",
    "zh 什么 么时 时候 哪里 哪个 怎么 为什 多少 是不 不是 我们 你们 他们 她们 这个 那个 的是 了吗 是什 吗 呢 的 了",
    "ja です ます した いつ どこ だれ 何を 何が どの どう なぜ した か から まで これ それ あれ ました でし すか たか のは",
    "ko 언제 어디 누구 무엇 뭐 어떻 떻게 왜 나는 내가 너는 그는 우리 입니 니다 습니 했습 나요 까요",
];

/// The stems of English words that say nothing of what a question is about, and whether they never mean anything.
static ENGLISH_STEMS: LazyLock<HashTable<(String, bool)>> = LazyLock::new(|| {
    let mut stems = HashTable::new();
    for (words, function) in [(ENGLISH, true), (ENGLISH_QUESTION, false)] {
        for stem in words.split_whitespace().map(stem) {
            if english(&stems, &stem, hash(&stem)).is_none() {
                stems.insert_unique(hash(&stem), (stem, function), |(stem, _)| hash(stem));
            }
        }
    }
    stems
});
/// Function words of the other languages, with a bit for each list that has the word.
static OTHER_WORDS: LazyLock<HashMap<&str, u32>> = LazyLock::new(|| {
    let mut lists = HashMap::new();
    for (i, list) in OTHERS.iter().enumerate() {
        list.split_whitespace().skip(1).for_each(|word| *lists.entry(word).or_default() |= 1 << i);
    }
    lists
});

/// See [`crate::make_all`].
pub(super) fn make_all() {
    LazyLock::force(&ENGLISH_STEMS);
    LazyLock::force(&OTHER_WORDS);
}

fn lists_with(word: &str) -> u32 {
    OTHER_WORDS.get(word).copied().unwrap_or(0)
}

fn english(stems: &HashTable<(String, bool)>, stem: &str, hashed: u64) -> Option<bool> {
    stems.find(hashed, |(text, _)| text == stem).map(|(_, function)| *function)
}

/// Whether the stem, whose hash is known, [says nothing](is_question_word) of what a question is about, and whether it
/// [never means anything](is_function_word).
pub(super) fn is_empty_word(stem: &str, hashed: u64) -> (bool, bool) {
    let known = english(&ENGLISH_STEMS, stem, hashed);
    (known.is_some(), known == Some(true))
}

/// True for the stem of an English function word.
pub(crate) fn is_function_word(stem: &str) -> bool {
    is_empty_word(stem, hash(stem)).1
}

/// True for the stem of a word that says nothing of what an English question is about.
pub(crate) fn is_question_word(stem: &str) -> bool {
    is_empty_word(stem, hash(stem)).0
}

/// The language whose function words fill a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// English.
    English,
    /// One of the other lists.
    Other(usize),
    /// No list knows enough of its words.
    Unknown,
}

/// Guesses the language of a question from its folded words and their stems: the list with most hits, English when
/// level.
fn language(words: &[String], stems: &[String]) -> Language {
    let english = stems.iter().filter(|s| is_function_word(s)).count();
    let lists: Vec<u32> = words.iter().map(|w| lists_with(w)).filter(|lists| *lists != 0).collect();
    let (mut best, mut most) = (Language::Unknown, 0);
    for i in 0..OTHERS.len() {
        let hits = lists.iter().filter(|lists| *lists >> i & 1 == 1).count();
        if hits > most {
            (best, most) = (Language::Other(i), hits);
        }
    }
    // A question may have no function word at all ("guitar lessons"): then nothing is removed from it.
    if english >= most && english > 0 { Language::English } else { best }
}

/// The language of a question, and which of its folded words are about its subject; all of them if none would be left.
pub(crate) fn subject(words: &[String], stems: &[String]) -> (Language, Vec<bool>) {
    let language = language(words, stems);
    let kept: Vec<bool> = match language {
        Language::English => {
            let strict: Vec<bool> = stems.iter().map(|s| !is_question_word(s)).collect();
            if strict.contains(&true) { strict } else { stems.iter().map(|s| !is_function_word(s)).collect() }
        }
        Language::Other(i) => words.iter().map(|w| lists_with(w) >> i & 1 == 0).collect(),
        Language::Unknown => vec![true; words.len()],
    };
    (language, if kept.contains(&true) { kept } else { vec![true; words.len()] })
}

#[cfg(test)]
mod tests {
    use super::subject;
    use crate::lexical::stem;
    use crate::lexical::token::words;

    fn kept(text: &str) -> Vec<String> {
        let mut w = Vec::new();
        words(text, |x| w.push(x.to_owned()));
        let stems: Vec<String> = w.iter().map(|x| stem(x)).collect();
        let (_, mask) = subject(&w, &stems);
        w.into_iter().zip(mask).filter_map(|(w, k)| k.then_some(w)).collect()
    }

    #[test]
    fn questions_are_reduced_to_their_subject() {
        assert_eq!(
            kept("When did Caroline go to the support group?"),
            ["caroline", "go", "support", "group"]
        );
        assert_eq!(kept("What did you do?"), ["what", "did", "you", "do"]);
    }

    #[test]
    fn each_language_keeps_its_content_words() {
        assert!(kept("Wie heißt das Kind von meiner Schwester?").contains(&"kind".to_owned()));
        assert!(kept("¿Cuándo llegaron los once jugadores?").contains(&"once".to_owned()));
        assert_eq!(kept("Когда мы были в музее?"), ["музее"]);
        assert_eq!(kept("kind"), ["kind"]);
    }
}
