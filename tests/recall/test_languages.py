"""Recall in other languages: the English rules must not hurt, and nothing may be English-only."""

from __future__ import annotations

import pytest
from ai_infra._core import ConversationIndex, search_terms

# Language → what people said, and (question, index of the message that answers it). Written for this test.
TALKS: dict[str, tuple[list[str], list[tuple[str, int]]]] = {
    "German": (
        [
            "Gestern habe ich mein altes Fahrrad für achtzig Euro verkauft.",
            "Unsere Katze Mimi war letzte Woche beim Tierarzt.",
            "Das Kind meiner Schwester heißt Emil und geht in die zweite Klasse.",
            "Wir renovieren gerade die Küche, die Schränke kommen im Mai.",
            "Ich lerne seit einem Jahr Geige und übe jeden Abend.",
        ],
        [
            ("Wie heißt das Kind meiner Schwester?", 2),
            ("Wann kommen die neuen Küchenschränke?", 3),
            ("Für wie viel habe ich das Fahrrad verkauft?", 0),
            ("Welche Katze war beim Tierarzt?", 1),
        ],
    ),
    "French": (
        [
            "J'ai acheté un appareil photo d'occasion au marché.",
            "Ma fille commence l'école de danse en septembre.",
            "Le médecin m'a conseillé de marcher trente minutes par jour.",
            "Nous avons planté des tomates et du basilic sur le balcon.",
            "Mon voisin m'a prêté sa perceuse pour le week-end.",
        ],
        [
            ("Qu'est-ce que nous avons planté sur le balcon ?", 3),
            ("Qui m'a prêté une perceuse ?", 4),
            ("Que m'a conseillé le medecin ?", 2),
            ("Quand commence l'ecole de danse ?", 1),
        ],
    ),
    "Spanish": (
        [
            "El equipo de mi hijo ganó y marcaron los once jugadores.",
            "Compré un vuelo a Sevilla para el puente de mayo.",
            "Mi abuela prepara la mejor tortilla del barrio.",
            "Estoy leyendo una novela sobre la guerra civil.",
            "Se rompió la lavadora y el técnico viene el jueves.",
        ],
        [
            ("¿Cuándo viene el tecnico de la lavadora?", 4),
            ("¿Qué estoy leyendo?", 3),
            ("¿Quién prepara la tortilla?", 2),
            ("¿Marcaron los once?", 0),
        ],
    ),
    "Russian": (
        [
            "Вчера мы ездили на дачу и собирали яблоки.",
            "Мой брат купил новую машину, синюю.",
            "Книга про космос мне очень понравилась.",
            "Бабушка готовит пирог с капустой по воскресеньям.",
            "Я записался на курсы плавания в бассейн.",
        ],
        [
            ("Какую машину купил брат?", 1),
            ("Какие книги мне понравились?", 2),
            ("Где мы собирали яблоки?", 0),
            ("На какие курсы я записался?", 4),
        ],
    ),
    "Arabic": (
        [
            "اشتريت سيارة جديدة الشهر الماضي.",
            "أختي تدرس الطب في القاهرة.",
            "سافرنا إلى البحر في الصيف.",
            "أتعلم العزف على العود كل مساء.",
            "كسرت هاتفي أمس في العمل.",
        ],
        [("أين تدرس أختي؟", 1), ("متى سافرنا إلى البحر؟", 2), ("ماذا أتعلم العزف؟", 3)],
    ),
    "Hindi": (
        [
            "कल मैंने बाज़ार से आम ख़रीदे।",
            "मेरी बहन दिल्ली में डॉक्टर है।",
            "हमारा कुत्ता बहुत शरारती है।",
            "मैं रोज़ सुबह योग करता हूँ।",
            "पिताजी की दुकान नई सड़क पर है।",
        ],
        [("मेरी बहन क्या करती है?", 1), ("पिताजी की दुकान कहाँ है?", 4), ("बाज़ार से क्या ख़रीदे?", 0)],
    ),
    "Chinese": (
        [
            "昨天我去医院看牙了。",
            "我妹妹在上海学钢琴。",
            "我们家的猫叫小花。",
            "下个月我要搬到新公寓。",
            "爸爸最喜欢喝绿茶。",
        ],
        [("我妹妹在哪里学钢琴?", 1), ("猫叫什么名字?", 2), ("什么时候搬到新公寓?", 3), ("猫", 2)],
    ),
    "Japanese": (
        [
            "昨日、新しい自転車を買いました。",
            "妹は大阪で看護師をしています。",
            "週末に家族と温泉に行く予定です。",
            "毎朝コーヒーを二杯飲みます。",
            "来月ピアノの発表会があります。",
        ],
        [("妹はどこで看護師をしていますか", 1), ("温泉に行くのはいつですか", 2), ("ピアノの発表会はいつ", 4)],
    ),
    "Korean": (
        [
            "어제 새 자전거를 샀어요.",
            "여동생은 부산에서 간호사로 일해요.",
            "주말에 가족과 제주도에 갈 거예요.",
            "매일 아침 커피를 두 잔 마셔요.",
            "다음 달에 피아노 연주회가 있어요.",
        ],
        [("여동생은 어디에서 일해요?", 1), ("피아노 연주회는 언제예요?", 4), ("자전거는 언제 샀어요?", 0)],
    ),
    "Thai": (
        [
            "เมื่อวานฉันซื้อจักรยานใหม่",
            "น้องสาวของฉันเป็นพยาบาลที่เชียงใหม่",
            "สุดสัปดาห์นี้เราจะไปทะเล",
            "แมวของเราชื่อมะลิ",
        ],
        [("น้องสาวเป็นพยาบาลที่ไหน", 1), ("แมวชื่ออะไร", 3), ("ซื้อจักรยานเมื่อไหร่", 0)],
    ),
    "Turkish": (
        [
            "Dün İstanbul'da eski bir arkadaşımla buluştum.",
            "Kız kardeşim üniversitede kimya okuyor.",
            "Bahçeye domates ve biber diktik.",
            "Arabanın lastikleri değişecek.",
        ],
        [("İstanbul'da kiminle buluştum?", 0), ("Kardeşim ne okuyor?", 1), ("Bahçeye ne diktik?", 2)],
    ),
}


@pytest.mark.parametrize("language", TALKS)
@pytest.mark.parametrize("embedding", ["local", "none"])
def test_the_answering_message_brings_the_first_result(language: str, embedding: str) -> None:
    # All languages lie in one index, as in the history of somebody who speaks several; one message a chunk.
    index = ConversationIndex(chunk_size=1, chunk_overlap=0, embedding=embedding)
    for name, (texts, _) in TALKS.items():
        index.put(name, texts)
    wrong = []
    for question, answer in TALKS[language][1]:
        hits = index.search(question, limit=1)
        if [(h.session, h.best) for h in hits] != [(language, answer)]:
            wrong.append((question, [(h.session, h.best) for h in hits]))
    assert not wrong


def test_spelling_does_not_depend_on_unicode_form_or_accents() -> None:
    assert search_terms("Cafe\u0301 CAFÉ cafe ｃａｆｅ") == search_terms("cafe cafe cafe cafe")
    assert search_terms("Straße Ω") == ["strass", "ω"]
