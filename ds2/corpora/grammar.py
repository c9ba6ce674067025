"""A small Mandarin grammar: things people say to a home and to a car."""

import random

_DIGITS = "零一二三四五六七八九"


def number(value: int) -> str:
    """0 to 99 in Chinese."""
    tens, ones = divmod(value, 10)
    if tens == 0:
        return _DIGITS[ones]
    return ("" if tens == 1 else _DIGITS[tens]) + "十" + (_DIGITS[ones] if ones else "")


def _hour(draw: random.Random) -> str:
    part, first, last = draw.choice(
        (("早上", 6, 9), ("上午", 9, 11), ("中午", 11, 12), ("下午", 1, 6), ("晚上", 6, 11))
    )
    hour = draw.randint(first, last)
    minutes = draw.choice(("", "", "半", "一刻", number(draw.choice(range(15, 60, 5))) + "分"))
    return f"{part}{'两' if hour == 2 else number(hour)}点{minutes}"


_WORDS = {
    "room": ("客厅", "卧室", "厨房", "书房", "阳台", "浴室", "餐厅", "车库"),
    "device": ("灯", "空调", "电视", "窗帘", "风扇", "音箱", "热水器", "电暖气"),
    "switch": ("打开", "关闭", "关上"),
    "car": ("车窗", "天窗", "雨刷", "车灯", "后备箱", "座椅加热"),
    "name": ("小明", "王芳", "李伟", "张敏", "刘洋", "陈静", "妈妈", "爸爸", "爷爷", "奶奶"),
    "place": ("机场", "火车站", "公司", "学校", "医院", "超市", "银行", "最近的加油站"),
    "day": ("今天", "明天", "后天", "星期一", "星期五", "周末"),
    "task": ("开会", "吃药", "买菜", "接孩子", "浇花", "回家", "洗衣服", "给{name}打电话"),
    "city": ("北京", "上海", "广州", "成都", "南京"),
    "color": ("红色", "蓝色", "白色", "黄色"),
    "music": ("音乐", "新闻", "收音机", "轻音乐"),
}

_NUMBERS = {
    "degrees": lambda draw: number(draw.randint(16, 32)),
    "percent": lambda draw: number(draw.randint(5, 99)),
    "minutes": lambda draw: number(draw.randint(3, 60)),
    "speed": lambda draw: number(draw.randrange(30, 95, 5)),
    "time": _hour,
}

_SENTENCES = (
    "{switch}{room}的{device}",
    "{switch}{room}的{device}",
    "把{room}的空调调到{degrees}度",
    "{room}的温度是多少",
    "把{device}的音量调到{percent}",
    "把{room}的灯调成{color}",
    "{minutes}分钟后{switch}{device}",
    "{time}{switch}{room}的{device}",
    "{day}{time}提醒我{task}",
    "{day}提醒{name}{task}",
    "设一个{time}的闹钟",
    "打电话给{name}",
    "告诉{name}我{minutes}分钟后到家",
    "{day}{city}的天气怎么样",
    "导航到{place}",
    "先去{place}再去{place}",
    "到{city}还要多久",
    "{switch}{car}",
    "车里调到{degrees}度",
    "播放{music}",
    "现在的速度是{speed}吗",
    "还有百分之{percent}的电",
)


def _fill(template: str, draw: random.Random) -> str:
    while "{" in template:
        head, _, rest = template.partition("{")
        kind, _, tail = rest.partition("}")
        word = draw.choice(_WORDS[kind]) if kind in _WORDS else _NUMBERS[kind](draw)
        template = f"{head}{word}{tail}"
    return template


def words() -> list[str]:
    """All that the sentences are made of and that can be said alone: words, and the numbers to 99."""
    alone = [word for kind in _WORDS.values() for word in kind if "{" not in word]
    return [*alone, *map(number, range(100))]


def sentences(count: int, seed: int) -> list[str]:
    """`count` different sentences, the same for the same seed."""
    draw = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found.setdefault(_fill(draw.choice(_SENTENCES), draw))
    return list(found)
