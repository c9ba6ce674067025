import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ds2 import params
from ds2.data import text

RULES = [
    params.TextSettings(lower_case=lower, simplified=simple) for lower in (True, False) for simple in (True, False)
]
# Whatever Unicode has, and more often what stands in transcripts.
TEXTS = st.text(max_size=30) | st.text(
    st.sampled_from(
        "你好後來開發頭髮乾坤一〇々ABcİßﬁ１２ａ，。！？ \t\u3000\u00a0\u200b\u2028'-.·ée\u0301ｶﾞ가각①㎏㈠⼀豈𠀀"
    ),
    max_size=30,
)


def is_han(character: str) -> bool:
    return unicodedata.name(character, "").startswith("CJK UNIFIED IDEOGRAPH")


@settings(deadline=None, max_examples=300)
@given(TEXTS, st.sampled_from(RULES))
@example("e.\u0301", RULES[0])
@example("ᄀ.ᅡ", RULES[0])
@example("乾.坤 後 來", RULES[0])
def test_normalising_twice_changes_nothing_more(raw, rules):
    once = text.normalize(raw, rules)
    assert text.normalize(once, rules) == once


@settings(deadline=None, max_examples=300)
@given(TEXTS, st.sampled_from(RULES))
def test_only_letters_marks_digits_and_single_inner_spaces_are_left(raw, rules):
    found = text.normalize(raw, rules)
    assert all(character == " " or unicodedata.category(character)[0] in "LMN" for character in found)
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
    "full-width": ("ＡＢＣ　１２３，ｘｙｚ！", "abc 123xyz"),
    "half-width kana": ("ｶﾞｷﾞ", "ガギ"),
    "english": ("Don't panic,  it's 3.5 e-mails!", "dont panic its 35 emails"),
    "mixed": ("打开 WiFi 和 GPS，导航 到 机场", "打开 wifi 和 gps导航到机场"),
    "mixed without spaces": ("用Python3写AI程序", "用python3写ai程序"),
    "ligature and circled": ("ﬁrst ①②", "first 12"),
    "cyrillic": ("Привет, МИР!", "привет мир"),
    "thai keeps its marks": ("สวัสดีครับ!", "สวัสดีครับ"),
    "decomposed accent": ("cafe\u0301", "café"),
    "zero width and byte order mark": ("\ufeff你\u200b好\u200d", "你好"),
    "line separators": ("a\u2028b\u0085c\td", "a b c d"),
    "emoji": ("好😀的👍🏽", "好的"),
    "symbols only": ("……！？—~$€+=", ""),
    "nothing": ("", ""),
    "spaces only": (" \t\u3000", ""),
}


@pytest.mark.parametrize(("raw", "expected"), EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_reads_as_expected(raw, expected):
    assert text.normalize(raw) == expected


def test_the_optional_steps_can_be_left_out():
    raw = "開 GPS"
    assert text.normalize(raw, params.TextSettings(lower_case=False, simplified=True)) == "开 GPS"
    assert text.normalize(raw, params.TextSettings(lower_case=True, simplified=False)) == "開 gps"
    assert text.normalize(raw, params.TextSettings(lower_case=False, simplified=False)) == "開 GPS"
