import re
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ds2 import params
from ds2.data import text

RULES = [
    params.TextSettings(lower_case=lower, simplified=simple) for lower in (True, False) for simple in (True, False)
]
SPOKEN = params.TextSettings(numbers="spoken")
# Whatever Unicode has, and more often what stands in transcripts.
TEXTS = st.text(max_size=30) | st.text(
    st.sampled_from(
        "你好後來開發頭髮乾坤一〇々ABcİßﬁ１２ａ，。！？ \t\u3000\u00a0\u200b\u2028'-.·ée\u0301ｶﾞ가각①㎏㈠⼀豈𠀀"
        "’´ʼʻـ²₂½&;#39amp{}\\\\N<>[]［］＜/|3%:¥\ufe0f\u20e3❤™ℹ\u200c\u200dक्षمیม་ཡ\u3164\u00ad"
    ),
    max_size=30,
)


def is_han(character: str) -> bool:
    return unicodedata.name(character, "").startswith("CJK UNIFIED IDEOGRAPH")


@settings(deadline=None, max_examples=300)
@given(TEXTS, st.sampled_from([*RULES, SPOKEN]))
@example("e.\u0301", RULES[0])
@example("a'\u0301b", RULES[0])
@example("5€ or ¥5.2 的3", SPOKEN)
@example("ᄀ.ᅡ", RULES[0])
@example("&amp;amp;amp;lt;", RULES[0])
@example("乾.坤 後 來", RULES[0])
def test_normalising_twice_changes_nothing_more(raw, rules):
    once = text.normalize(raw, rules)
    assert text.normalize(once, rules) == once


@settings(deadline=None, max_examples=300)
@given(TEXTS, st.sampled_from(RULES))
def test_letters_marks_digits_single_inner_spaces_and_what_words_are_spelled_with_are_left(raw, rules):
    found = text.normalize(raw, rules)
    others = {character for character in found if unicodedata.category(character)[0] not in "LMN"}
    assert others <= set(" '\u200c\u200d")
    assert not re.search(r"(?<![^\W_])'(?<![\u0300-\u0fff]')|'(?![^\W\d_])", found)
    assert not re.search("[\ufe00-\ufe0f\u3164\u1160\u20e3]", found)
    assert not found or any(unicodedata.category(character)[0] in "LN" for character in found)
    assert "  " not in found
    assert found == found.strip()
    assert unicodedata.is_normalized("NFKC", found)


@settings(deadline=None, max_examples=300)
@given(TEXTS, st.sampled_from(RULES))
@example("你 好 吗", RULES[0])
@example("𠀀 ，𠀁", RULES[3])
def test_no_space_is_left_between_han_characters(raw, rules):
    found = text.normalize(raw, rules)
    assert not any(is_han(m[1]) and is_han(m[2]) for m in re.finditer(r"(?=(\S) (\S))", found))


@settings(deadline=None)
@given(st.text(st.characters(categories=["Ll", "Nd"], max_codepoint=0x7F), min_size=1, max_size=20))
def test_plain_words_stay_as_they_are(raw):
    assert text.normalize(raw) == raw


EXAMPLES = {
    "mandarin": ("今天天气怎么样？", "今天天气怎么样"),
    "mandarin with spaces": (" 今天 天气　怎么样 。", "今天天气怎么样"),
    "punctuation between": ("你好，世界！“再见”……（笑）", "你好世界再见笑"),
    "traditional": ("開放時間與機場捷運", "开放时间与机场捷运"),
    "traditional by phrases": ("皇后後來梳理頭髮，乾坤乾燥", "皇后后来梳理头发乾坤干燥"),
    "full-width": ("ＡＢＣ　１２３，ｘｙｚ！", "abc 123 xyz"),
    "half-width kana": ("ｶﾞｷﾞ", "ガギ"),
    "english": ("Don't panic,  it's 3.5 e-mails!", "don't panic it's 3 5 e mails"),
    "mixed": ("打开 WiFi 和 GPS，导航 到 机场", "打开 wifi 和 gps导航到机场"),
    "mixed without spaces": ("用Python3写AI程序", "用python3写ai程序"),
    "ligature and circled": ("ﬁrst ①②", "first 12"),
    "small digits after digits": ("10² １０³ 5₂ 1½ 10① 3㉑ 3㊿", "10 2 10 3 5 2 1 1 2 10 1 3 21 3 50"),
    "small digits before digits": ("2²5", "2 2 5"),
    "small digits after letters": ("H₂O x² m²", "h2o x2 m2"),
    "tatweel": ("العـــربية م\u0640\u064e", "العربية م\u064e"),
    "uzbek": ("gʻalaba o‘zbek oʼzbek l'1", "g'alaba o'zbek o'zbek l 1"),
    "cyrillic": ("Привет,МИР!", "привет мир"),
    "korean": ("안녕,세상!", "안녕 세상"),
    "hebrew": ("שלום,עולם", "שלום עולם"),
    "arabic": ("مرحبا،عالم", "مرحبا عالم"),
    "hindi": ("नमस्ते,दुनिया।", "नमस्ते दुनिया"),
    "thai keeps its marks, and has no spaces": ("สวัสดี,ครับ!", "สวัสดีครับ"),
    "kana have no spaces": ("ジョン・スミス、です", "ジョンスミスです"),
    "nor have the kana's vertical repeat marks": ("いよ〱!〳!〵", "いよ〱〳〵"),
    "digits have them in every script": ("๓:๓๐ ٣,٥", "๓ ๓๐ ٣ ٥"),
    "tibetan keeps its syllables apart": ("བོད་སྐད་", "བོད སྐད"),
    "decomposed accent": ("cafe\u0301", "café"),
    "a mark without a letter": ("❤\u0301 \u0301a", "a"),
    "zero width and byte order mark": ("\ufeff你\u200b好\u200d", "你好"),
    "soft hyphen and direction": ("co\u00adop \u202bשלום\u202c\u2060", "coop שלום"),
    "joiner of persian": ("می\u200cخواهم \u200c", "می\u200cخواهم"),
    "joiner after one letter": ("ب\u200cها", "ب\u200cها"),
    "joiners at the ends of an arabic word": ("\u200cمی\u200c می\u200ca م\u200dی", "می میa می"),
    "joiner at a virama": ("क्\u200dष അവന്\u200d a\u200db", "क्\u200dष അവന്\u200d ab"),
    "joiners at the ends": ("\u200da\u200cb\u200c", "ab"),
    "non-joiner at a virama": ("क्\u200cष क्\u200c", "क्\u200cष क्"),
    "line separators": ("a\u2028b\u0085c\td", "a b c d"),
    "emoji": ("好😀的👍🏽", "好的"),
    "emoji between words": ("good😀morning", "good morning"),
    "emoji with a variation selector": ("我爱你❤️", "我爱你"),
    "keycap": ("1️⃣号 #️⃣", "1号"),
    "pictures that are letters to NFKC": ("Windows™ ℹ️ 🈚 ㊙️", "windows"),
    "more of such pictures": ("Acme℠ Ⓜ️ ㊗️", "acme"),
    "hangul filler": ("\u3164", ""),
    "emoji only": ("☀️ 👨\u200d👩\u200d👧 ❤️", ""),
    "symbols only": ("……！？—~$€+=", ""),
    "marks only": ("\u0301\ufe0f", ""),
    "nothing": ("", ""),
    "spaces only": (" \t\u3000", ""),
    "comma without a space": ("hello,world", "hello world"),
    "ellipsis": ("wait…what...now", "wait what now"),
    "hyphen and abbreviation": ("RE-SIGN the well-known U.S.A.", "re sign the well known u s a"),
    "time": ("下午3:30", "下午3 30"),
    "time before han": ("3:30，下午", "3 30下午"),
    "share": ("3.14%", "3 14"),
    "date": ("2026-03-05", "2026 03 05"),
    "apostrophe": ("WE'LL", "we'll"),
    "apostrophes of all kinds": ("we’ll weʼll we＇ll we‘ll we`ll we´ll we′ll", " ".join(["we'll"] * 7)),
    "apostrophe and a mark": ("l’e\u0301te\u0301 d'eau", "l'été d'eau"),
    "apostrophes of a word": ("rock'n'roll in the 90's", "rock'n'roll in the 90's"),
    "quotes": ("‘hello’ 'there' dogs' 'tis", "hello there dogs tis"),
    "quotes within": ("he''s 5'10\" 你'好 it's'好", "he s 5 10 你好 it's好"),
    "tag": ("今天<unk>天气", "今天天气"),
    "tag in capitals": ("[NOISE] 你好", "你好"),
    "tags for punctuation": ("OH <COMMA> YES <PERIOD>", "oh yes"),
    "tags around": ("<english>hello</english><|zh|>你好[ Music ]", "hello 你好"),
    "tag between words": ("hello<unk>world", "hello world"),
    "full-width tag": ("＜unk＞你好［笑］", "你好"),
    "tag with words": ("你好<spoken noise>世界 <v Roger Bingham>hi", "你好世界 hi"),
    "tag of a time": ("你好<|0.00|>世界<|1.5|>", "你好世界"),
    "tag of a time of subtitles": ("<00:00:01.000>hello<00:00:02.500><c> you</c>", "hello you"),
    "tag of a number": ("<1>hi <0.5s> 3<|2|>5", "hi 3 5"),
    "more tags of numbers": ("hi<0,5>there</1>and<|2>so 3<00:01>5", "hi there and so 3 5"),
    "tags between letters": ("hello<b>my</b>world", "hello my world"),
    "curly tag": ("{NOISE}你好{ laugh }｛笑｝", "你好"),
    "signs of subtitles": (r"{\an8}Hello\Nworld, 你好\N世界", "hello world 你好世界"),
    "tag in a tag": ("[[noise]] <a <b> c>", "a c"),
    "tags within open brackets": ("a [b [c] d] e <f <g> {h {i}", "a b d e f h"),
    "tags only": ("<unk> [NOISE]", ""),
    "signs that are no tags": ("a < b and c > d, 3<5且7>6", "a b and c d 3 5且7 6"),
    "words that are no tag": ("x<y and y>z", "x y and y z"),
    "numbers that are no tags": ("1<2>1, a < 3 < 5", "1 2 1 a 3 5"),
    "entities": ("it&#39;s R&amp;D&nbsp;now &lt;3 &#x4F60;&eacute;", "it's r d now 3 你é"),
    "entities of entities": ("it&amp;#39;s", "it's"),
    "tag of entities": ("&lt;unk&gt;你好", "你好"),
    "no entities": ("AT&T &foo; Q&notit; a&b", "at t foo q notit a b"),
    "round and lenticular brackets": ("好的(笑声)【重要】《书》", "好的笑声重要书"),
}


@pytest.mark.parametrize(("raw", "expected"), EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_reads_as_expected(raw, expected):
    assert text.normalize(raw) == expected


AS_WRITTEN = params.TextSettings(lower_case=False, simplified=False)
# By their names in Unicode's own table.
NAMED = {one: name for one in map(chr, range(0x110000)) if (name := unicodedata.name(one, ""))}
INVISIBLE = [
    one
    for one, name in NAMED.items()
    if "VARIATION SELECTOR" in name or ("HANGUL" in name and "FILLER" in name) or "KHMER VOWEL INHERENT" in name
] + ["\N{COMBINING GRAPHEME JOINER}", "\N{ARABIC TATWEEL}"]
LETTERS = [
    one
    for one in NAMED
    if unicodedata.category(one) in ("Lo", "Ll", "Lu") and unicodedata.is_normalized("NFKC", one)
    if one not in INVISIBLE
]
HAN = ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "CJK RADICAL", "KANGXI", "HANGZHOU", "IDEOGRAPHIC ITERATION")
HAN += ("IDEOGRAPHIC NUMBER ZERO", "VERTICAL IDEOGRAPHIC ITERATION")
UNSPACED = ("HIRAGANA", "KATAKANA", "BOPOMOFO", "YI ", "THAI", "LAO", "KHMER", "MYANMAR", "TAI ", "NEW TAI", "JAVANESE")
UNSPACED += ("BALINESE", "VERTICAL KANA", "HENTAIGANA", *HAN)


def test_a_han_character_is_one_by_its_name_and_needs_no_space():
    han = [one for one, name in NAMED.items() if name.startswith(HAN)]
    assert len(han) > 90000
    assert text.join(han) == "".join(han)
    assert all(map(text.is_wordy, han))
    others = [one for one in LETTERS if not NAMED[one].startswith(HAN)]
    assert text.join(others) == " ".join(others)


def test_punctuation_leaves_a_space_between_letters_of_all_scripts_but_those_without_spaces():
    unspaced, spaced = [], []
    for one in LETTERS:
        (unspaced if NAMED[one].startswith(UNSPACED) else spaced).append(one)
    assert min(len(unspaced), len(spaced)) > 10000
    assert text.normalize("!".join(unspaced), AS_WRITTEN) == "".join(unspaced)
    assert text.normalize("!".join(spaced), AS_WRITTEN) == " ".join(spaced)


def test_small_digits_of_every_kind_join_no_number():
    for small in (one for one in NAMED if unicodedata.category(one) == "No"):
        plain = unicodedata.normalize("NFKC", small)
        if plain[0].isdecimal():
            assert text.normalize(f"5{small}", AS_WRITTEN).split()[0] == "5", NAMED[small]
        if plain[-1].isdecimal():
            assert text.normalize(f"{small}5", AS_WRITTEN).split()[-1] == "5", NAMED[small]


def test_invisible_letters_and_marks_leave_nothing():
    assert len(INVISIBLE) == 16 + 240 + 4 + 4 + 2 + 2  # selectors, Mongolian ones; fillers, vowels, the two others
    assert [one for one in INVISIBLE if text.normalize(f"a{one}b") != "ab"] == []


def test_a_non_joiner_stays_between_arabic_letters_and_no_others():
    for one in LETTERS:
        if NAMED[one].startswith("ARABIC LETTER"):
            assert text.normalize(f"{one}\u200c{one}") == f"{one}\u200c{one}", NAMED[one]
    for other in "אܐߊaख你":
        assert text.normalize(f"{other}\u200c{other}") == other * 2


def test_a_digit_is_one_of_any_script_and_a_han_numeral_is_none():
    assert all(map(text.has_digit, ("a1b", "٣", "十２")))
    assert not any(map(text.has_digit, ("", "a b", "三十", "²Ⅳ")))


def test_a_han_character_or_two_words_are_a_sentence():
    assert all(map(text.is_wordy, ("你", "S2好", "two words", "a\u3000b")))
    assert not any(map(text.is_wordy, ("", "S0002", " S0002 ", "word\n")))


def test_texts_are_joined_as_they_are_said_one_after_the_other():
    assert text.join(["你好", "世界 hello", "", "my  world", "你"]) == "你好世界 hello my world 你"


def test_the_optional_steps_can_be_left_out():
    raw = "開 GPS"
    assert text.normalize(raw, params.TextSettings(lower_case=False, simplified=True)) == "开 GPS"
    assert text.normalize(raw, params.TextSettings(lower_case=True, simplified=False)) == "開 gps"
    assert text.normalize(raw, params.TextSettings(lower_case=False, simplified=False)) == "開 GPS"


def test_the_tags_that_are_dropped_can_be_counted():
    assert text.tags("<unk>好 ［笑］(x) a < b > c x<y z>w") == ["<unk>", "[笑]"]
    assert text.tags("{laugh}&lt;unk&gt;<|0.00|>") == ["{laugh}", "<unk>", "<|0.00|>"]


SAID = {
    "year": ("2026年", "二零二六年"),
    "date": ("今天是2026年3月5日", "今天是二零二六年三月五日"),
    "date with hyphens": ("2026-03-05开会", "二零二六年三月五日开会"),
    "time": ("下午3:30出发", "下午三点三十分出发"),
    "share": ("涨了3.14%", "涨了百分之三点一四"),
    "fraction": ("一共1/2", "一共二分之一"),
    "telephone": ("电话13812345678", "电话幺三八幺二三四五六七八"),
    "emergency number": ("请拨打110", "请拨打幺幺零"),
    "ordinal": ("第3名", "第三名"),
    "negative": ("零下5℃，-3度", "零下五摄氏度负三度"),
    "money": ("¥35.5", "三十五点五元"),
    "two of them": ("2个200米", "两个两百米"),
    "full-width and circled": ("３．５元①", "三点五元一"),
    "digits only": ("10086", "幺零零八六"),
    "english": ("It's 10:30 on March 5, 2026", "it's ten thirty on the fifth of march twenty twenty six"),
    "english ordinal and share": ("the 3rd, 3.14%", "the third three point one four percent"),
    "english with spaces": ("at   10:30   sharp", "at ten thirty sharp"),
    "english decade": ("in the 1990s", "in the nineteen nineties"),
    "english money": ("$3.50", "三点五零美元"),
    "english negative": ("-5 degrees", "negative five degrees"),
    "latin letters among han": ("打开A4纸和5G", "打开a四纸和五g"),
    "english among han": ("他说I have 3 cats然后2个", "他说i have three cats然后两个"),
    "what its grammar cannot say": ("5€ please", "five please"),
    "long number": ("编号1234567890123号", "编号幺二三四五六七八九零幺二三号"),
    "long numbers": (f"{'12' * 8}和{'3' * 40}个", f"{'幺二' * 8}和{'三' * 40}个"),
    "long number in english": (f"the {'12' * 8}", f"the{' one two' * 8}"),
    "long number after a point": ("3.14159265358979323", "三点一四一五九二六五三五八九七九三二三"),
    "thousands": ("1,000元，1,500.5和10,000个", "一千元一千五百点五和一万个"),
    "thousand alone": ("1,000", "一千"),
    "thousands in english": (
        "1,000 or 1000 of 21,000 and 1,000,000",
        "one thousand or one thousand of twenty one thousand and one million",
    ),
    "thousand in a word of the text": ("a thousand or 3", "a thousand or three"),
    "a comma that is no thousand": ("5,5元", "5 5元"),
    "numbers that would run together": ("10²和3", "10 2和3"),
    "date and time": ("2026-03-05 10:30开会", "二零二六年三月五日十点三十分开会"),
    "halves": ("½和I have 1½ cups", "二分之一和i have one and a half cups"),
    "german keeps its digits": ("3 Häuser für 5,5 Euro", "3 häuser für 5 5 euro"),
    "spanish too": ("el niño tiene 3", "el niño tiene 3"),
    "among han too": ("他说niño tiene 3 años", "他说niño tiene 3 años"),
    "a name among han": ("Café在3楼", "café在三楼"),
    "japanese keeps its digits": ("3時です", "3时です"),
    "russian too": ("3 раза", "3 раза"),
    "digits of other scripts too": ("१२个", "१२个"),
    "a tag's digits are none": ("[NOISE2]你好", "你好"),
}


@pytest.mark.parametrize(("raw", "expected"), SAID.values(), ids=SAID)
def test_numbers_are_written_as_they_are_said(raw, expected):
    assert text.normalize(raw, SPOKEN) == expected


def test_the_library_that_says_numbers_is_loaded_only_for_them():
    program = (
        "import sys; from ds2 import params; from ds2.data import text\n"
        "text.normalize('下午3:30'); text.normalize('你好', params.TextSettings(numbers='spoken'))\n"
        "assert 'wetext' not in sys.modules and 'kaldifst' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
