"""Random values (names, cities, numbers, ...), split into a training and a held-out half.

A value belongs to the held-out part when the checksum of its text says so. Training draws only from one side and
the tests only from the other, so a test value was never seen, whatever the seed.
"""

from __future__ import annotations

import random
import zlib

ONSETS = "b c d f g h j k l m n p r s t v w z br ch cr dr fl gr kr pl sh st th tr".split() + [""]
VOWELS = "a e i o u a e i o ai ea ou ia".split()
CODAS = ["", "", "", "", "n", "r", "l", "s", "m", "t", "k", "x", "nd", "rk"]
SURNAMES = list("王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文")
GIVEN = list("伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀兰霞平刚桂英华玉萍红梅玲建国文斌宇浩轩子涵欣怡思雨晨博志鹏俊峰佳琪雪莹天佑安琳晓东海燕春光云飞立新成龙振兴家豪梦瑶诗语若曦一诺雅婷嘉懿煜城明哲瑞霖鸿涛立果金鑫健柏正豪国栋")
FIRST = "Alice Bob Carol David Emma Frank Grace Henry Ivy Jack Kate Leo Mia Noah Olivia Paul Rose Sam Tina Victor Wendy Anna Ben Chloe Daniel Eva Felix Hugo Lucy Mark Nina Oscar Peter Sara Tom".split()
CITIES_EN = "Paris London Berlin Tokyo Madrid Rome Oslo Cairo Lima Sydney Boston Chicago Seattle Dublin Vienna Prague Lisbon Athens Delhi Seoul Beijing Shanghai Toronto Warsaw Geneva Milan Munich Nairobi Kyoto Denver".split()
CITIES_ZH = "北京 上海 广州 深圳 杭州 南京 成都 武汉 西安 重庆 天津 苏州 长沙 青岛 大连 厦门 昆明 拉萨 哈尔滨 沈阳 济南 郑州 合肥 福州 南昌 贵阳 兰州 太原 海口 桂林".split()
COMMON = list("山水火木金土日月星风雨雪花草树石田河湖海江天地人心手口目耳大小中上下左右东西南北前后新老高长多少好美红黄蓝绿白黑春夏秋冬早晚年月日时分电脑书报车船飞机鱼鸟马牛羊米面茶酒糖盐菜果门窗桌椅衣服鞋帽笔纸画音乐歌舞运动球棋光声色香味云梦龙凤虎狮")
NOUNS_EN = "apple banana table chair lamp book pencil phone laptop bottle jacket camera piano guitar mirror window basket candle pillow ticket hammer ladder bucket carpet helmet wallet orange cherry mango onion carrot potato coffee cheese butter bread".split()
NOUNS_ZH = "苹果 香蕉 桌子 椅子 台灯 书本 铅笔 手机 电脑 水杯 外套 相机 钢琴 吉他 镜子 窗帘 篮子 蜡烛 枕头 车票 锤子 梯子 水桶 地毯 头盔 钱包 橙子 樱桃 芒果 洋葱 土豆 咖啡 奶酪 面包 牛奶 茶叶".split()
WORDS_EN = """time year people way day man thing woman life child world school state family student group country problem hand part place case week company
system program question work number night point home water room mother area money story fact month lot right study book eye job word business issue side kind
head house service friend father power hour game line end member law car city name team minute idea body back parent face level door health person art war
history party result morning reason research girl guy moment air teacher force education quick brown fox jumps over lazy dog cat bird tree river mountain
green blue sky happy sad fast slow small large old young good bad hot cold strawberry blueberry butterfly balloon coffee letter summer winter dinner
meeting shopping running swimming reading writing cooking travel holiday weekend report project budget plan review lunch call email invoice sunset sunrise
garden forest ocean island bridge street market window mirror paper pencil music guitar piano movie ticket camera battery keyboard screen network server
cloud data model token engine robot rocket planet moon star sun earth light dark deep open close start stop big little new long great other early
important public able""".split()
COLORS_EN = "red green blue yellow black white purple orange silver golden brown pink grey".split()
COLORS_ZH = "红色 绿色 蓝色 黄色 黑色 白色 紫色 橙色 银色 金色 棕色 粉色 灰色".split()
JOBS_EN = "doctor teacher engineer nurse writer painter farmer lawyer pilot chef singer driver designer baker".split()
JOBS_ZH = "医生 老师 工程师 护士 作家 画家 农民 律师 飞行员 厨师 歌手 司机 设计师 面包师".split()


def is_held_out(text: str) -> bool:
    """Says whether a text belongs to the held-out eighth of its kind."""
    return zlib.crc32(text.encode()) % 8 == 0


class Values:
    """Draws random values of one split. `chinese` picks the language of the next values."""

    def __init__(self, rng: random.Random, held_out: bool):
        self.rng = rng
        self.held_out = held_out

    def draw(self, make) -> str:
        """Calls `make` until its text falls on this side of the split."""
        while True:
            text = make()
            if is_held_out(str(text)) == self.held_out:
                return text

    def pick(self, options):
        return self.rng.choice(options)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def word(self, low: int = 1, high: int = 3) -> str:
        def make() -> str:
            count = self.rng.randint(low, high)
            parts = [self.pick(ONSETS) + self.pick(VOWELS) + self.pick(CODAS) for _ in range(count)]
            return "".join(parts)

        return self.draw(make)

    def han(self, low: int = 2, high: int = 3) -> str:
        def make() -> str:
            count = self.rng.randint(low, high)
            if self.chance(0.3):
                return "".join(chr(self.rng.randint(0x4E00, 0x8FFF)) for _ in range(min(count, 2)))
            return "".join(self.pick(COMMON + GIVEN) for _ in range(count))

        return self.draw(make)

    def person(self, chinese: bool) -> str:
        if chinese:
            return self.draw(lambda: self.pick(SURNAMES) + "".join(self.pick(GIVEN) for _ in range(self.rng.randint(1, 2))))
        if self.chance(0.2) and not self.held_out:
            return self.pick(FIRST)
        first = self.word(2, 3).capitalize()
        return f"{first} {self.word(1, 2).capitalize()}" if self.chance(0.15) else first

    def city(self, chinese: bool) -> str:
        if self.chance(0.3) and not self.held_out:
            return self.pick(CITIES_ZH if chinese else CITIES_EN)
        if chinese:
            return self.han() + self.pick(["市", "", "城"])
        name = self.word(2, 3).capitalize()
        return f"{self.pick(['New', 'San', 'Port', 'Los', 'North', 'East', self.word(1, 2).capitalize()])} {name}" if self.chance(0.2) else name

    def letter(self) -> str:
        return self.pick("abcdefghijklmnopqrstuvwxyz")

    def thing(self, chinese: bool) -> str:
        if chinese:
            return self.pick(NOUNS_ZH) if self.chance(0.4) and not self.held_out else self.han()
        if self.chance(0.4) and not self.held_out:
            return self.pick(NOUNS_EN)
        return self.word(2, 3)

    def phrase(self, chinese: bool) -> str:
        """Two or three words, for titles, messages and searches."""
        if chinese:
            return self.draw(lambda: self.thing(True) + self.pick(["", "的", "和"]) + self.thing(True))
        if self.chance(0.4):
            return self.draw(lambda: " ".join(self.pick(WORDS_EN) for _ in range(self.rng.randint(2, 6))))
        return self.draw(lambda: " ".join(self.thing(False) for _ in range(self.rng.randint(2, 3))))

    def english(self) -> str:
        return self.draw(lambda: self.pick(WORDS_EN)) if self.chance(0.4) else self.word(2, 3)

    def integer(self, low: int = 1, high: int = 999) -> int:
        return int(self.draw(lambda: str(self.rng.randint(low, high))))

    def decimal(self) -> float:
        return float(self.draw(lambda: f"{self.rng.randint(1, 99)}.{self.pick(['', '', self.rng.randint(0, 9)])}{self.rng.randint(1, 9)}"))

    def date(self) -> str:
        return self.draw(lambda: f"20{self.rng.randint(20, 39)}-{self.rng.randint(1, 12):02}-{self.rng.randint(1, 28):02}")

    def clock(self) -> str:
        return self.draw(lambda: f"{self.rng.randint(6, 23):02}:{self.rng.randint(0, 59):02}")

    def code(self) -> str:
        """An order number such as `KR-4821`."""
        letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
        return self.draw(lambda: f"{self.pick(letters)}{self.pick(letters)}{self.pick(['-', ''])}{self.rng.randint(100, 9999)}")

    def email(self) -> str:
        return self.draw(lambda: f"{self.word(1, 2)}@{self.word(1, 2)}.{self.pick(['com', 'cn', 'org', 'net', 'io'])}")

    def phone(self) -> str:
        return self.draw(lambda: f"1{self.rng.randint(30, 89)}{self.rng.randint(1000, 9999)}")

    def color(self, chinese: bool) -> str:
        return self.pick(COLORS_ZH if chinese else COLORS_EN)

    def job(self, chinese: bool) -> str:
        return self.pick(JOBS_ZH if chinese else JOBS_EN)
