"""Filling a JSON object with the values that a message gives."""

from __future__ import annotations

import json

from .example import Example
from .small_talk import UNKNOWN_EN, UNKNOWN_ZH
from .values import Values

# key, Chinese key, how to draw the value, English clauses, Chinese clauses. {v} is the value.
PERSON = [
    ("name", "姓名", "person", ["my name is {v}", "I am {v}", "the name is {v}", "this is {v}"], ["我叫{v}", "名字是{v}", "我是{v}", "姓名{v}"]),
    ("age", "年龄", "age", ["{v} years old", "the age is {v}", "aged {v}", "I am {v} years old"], ["今年{v}岁", "{v}岁", "年龄是{v}", "年龄{v}岁"]),
    ("city", "城市", "city", ["living in {v}", "I live in {v}", "from {v}", "the city is {v}"], ["住在{v}", "来自{v}", "城市是{v}", "家在{v}"]),
    ("job", "职业", "job", ["working as a {v}", "the job is {v}", "I am a {v}", "I work as a {v}"], ["职业是{v}", "是一名{v}", "工作是{v}"]),
    ("email", "邮箱", "email", ["the email is {v}", "my email is {v}", "write to {v}"], ["邮箱是{v}", "邮箱 {v}", "我的邮箱是 {v}"]),
    ("phone", "电话", "phone", ["the phone is {v}", "my phone number is {v}", "call {v}"], ["电话是{v}", "手机号{v}", "我的电话是{v}"]),
    ("hobby", "爱好", "thing", ["the hobby is {v}", "my hobby is {v}", "I like {v}"], ["爱好是{v}", "喜欢{v}"]),
    ("country", "国家", "city", ["the country is {v}", "my country is {v}"], ["国家是{v}", "来自国家{v}"]),
]
PRODUCT = [
    ("product", "产品", "thing", ["the product is {v}", "I buy {v}", "I want {v}", "one {v}"], ["产品是{v}", "我要买{v}", "商品{v}", "商品是{v}"]),
    ("price", "价格", "number", ["it costs {v}", "the price is {v}", "for {v} yuan", "priced at {v}"], ["价格是{v}", "售价{v}元", "{v}元", "价格{v}"]),
    ("quantity", "数量", "age", ["the quantity is {v}", "{v} pieces", "we need {v} of them"], ["数量是{v}", "一共{v}个", "数量{v}"]),
    ("color", "颜色", "color", ["the color is {v}", "it is {v}", "in {v}", "colored {v}"], ["颜色是{v}", "{v}的", "颜色{v}"]),
    ("brand", "品牌", "person", ["the brand is {v}", "made by {v}", "from the brand {v}"], ["品牌是{v}", "由{v}制造", "品牌{v}"]),
    ("order_id", "订单号", "code", ["the order is {v}", "order number {v}", "the order id is {v}"], ["订单号是{v}", "订单{v}", "订单号 {v}"]),
]
EVENT = [
    ("title", "标题", "phrase", ["the title is {v}", "it is called {v}", "titled {v}"], ["标题是{v}", "名为{v}", "主题是{v}"]),
    ("date", "日期", "date", ["the date is {v}", "on {v}", "it is on {v}"], ["日期是{v}", "在{v}举行", "日期 {v}"]),
    ("time", "时间", "clock", ["the time is {v}", "at {v}", "it starts at {v}"], ["时间是{v}", "{v}开始", "时间 {v}"]),
    ("place", "地点", "city", ["the place is {v}", "in {v}", "it takes place in {v}"], ["地点是{v}", "在{v}", "地点在{v}"]),
    ("host", "主持人", "person", ["the host is {v}", "hosted by {v}", "led by {v}"], ["主持人是{v}", "由{v}主持"]),
    ("guests", "人数", "age", ["with {v} guests", "{v} people will come", "the number of guests is {v}"], ["有{v}人参加", "人数是{v}", "共{v}人"]),
]
# What is said of a person by name: "Ann is 30 years old and lives in Oslo".
SAID_OF = {"age": ["is {v} years old", "is {v}", "is aged {v}"], "city": ["lives in {v}", "is from {v}", "comes from {v}"], "job": ["works as a {v}", "is a {v}"],
           "hobby": ["likes {v}", "loves {v}"], "email": ["has the email {v}", "can be reached at {v}"], "phone": ["has the phone number {v}"]}
GROUPS = [PERSON, PRODUCT, EVENT]
KEYS_EN = ("id level score status owner team version language size weight height genre author year month category type subject model engine speed "
           "port host path user group state region code note label tag unit source target first last street animal food drink sport day room").split()
KEYS_ZH = "编号 等级 分数 状态 负责人 团队 版本 语言 大小 重量 高度 作者 年份 类别 科目 型号 速度 用户 分组 地区 备注 标签 单位 来源 街道 动物 食物 运动 房间 部门 国籍".split()
KINDS = ["person", "city", "thing", "phrase", "age", "number", "color", "code", "date", "clock", "word", "email", "job"]


def draw_value(values: Values, kind: str, chinese: bool):
    """One value of a kind: a string, an integer or a decimal."""
    if kind == "age":
        return values.integer(1, 99)
    if kind == "number":
        return values.decimal() if values.chance(0.4) else values.integer(1, 999)
    if kind == "word":
        return values.han() if chinese else values.word()
    maker = getattr(values, kind)
    return maker(chinese) if kind in ("person", "city", "thing", "phrase", "color", "job") else maker()


def shown(value) -> str:
    return str(value)


def natural(values: Values, chinese: bool) -> tuple[dict, str]:
    """Known fields told in a sentence."""
    fields = values.rng.sample(values.pick(GROUPS), values.rng.randint(2, 4))
    pairs, clauses = {}, []
    chinese_keys = chinese and values.chance(0.4)
    for key, chinese_key, kind, english_clauses, chinese_clauses in fields:
        value = draw_value(values, kind, chinese)
        pairs[chinese_key if chinese_keys else key] = value
        clauses.append(values.pick(chinese_clauses if chinese else english_clauses).format(v=shown(value)))
    if chinese:
        return pairs, "，".join(clauses) + "。"
    text = ", ".join(clauses[:-1]) + values.pick([" and ", ", ", ", and "]) + clauses[-1] + values.pick([".", ""])
    return pairs, text[0].upper() + text[1:]


def portrait(values: Values, chinese: bool) -> tuple[dict, str]:
    """A person by name, then what is said of them."""
    name = values.person(chinese)
    pairs, clauses = {}, []
    fields = [field for field in PERSON if field[0] in SAID_OF]
    chinese_keys = chinese and values.chance(0.4)
    pairs["姓名" if chinese_keys else "name"] = name
    for key, chinese_key, kind, _, chinese_clauses in values.rng.sample(fields, values.rng.randint(1, 3)):
        value = draw_value(values, kind, chinese)
        pairs[chinese_key if chinese_keys else key] = value
        clauses.append(values.pick(chinese_clauses if chinese else SAID_OF[key]).format(v=value).replace("我", ""))
    if chinese:
        return pairs, name + "，".join(clauses) + "。"
    return pairs, f"{name} " + (", ".join(clauses[:-1]) + " and " if clauses[1:] else "") + clauses[-1] + "."


def labelled(values: Values, chinese: bool) -> tuple[dict, str]:
    """Any keys, each with its value beside it."""
    pairs = {}
    for _ in range(values.rng.randint(1, 4)):
        if values.chance(0.35):
            key = values.word(1, 2) if not chinese or values.chance(0.3) else values.han()
        else:
            key = values.pick(KEYS_ZH if chinese and values.chance(0.6) else KEYS_EN)
            if values.chance(0.1):
                key = f"{values.pick(KEYS_EN)}_{values.pick(KEYS_EN)}"
        pairs[key] = draw_value(values, values.pick(KINDS), chinese)
    form = values.pick(["{k}：{v}", "{k}是{v}", "{k}为{v}", "{k}={v}", "{k}: {v}"] if chinese else ["{k}: {v}", "{k} is {v}", "the {k} is {v}", "{k} = {v}", "{k}={v}"])
    joint = values.pick(["，", "；", "\n"] if chinese else [", ", "; ", "\n", " and "])
    return pairs, joint.join(form.format(k=key, v=shown(value)) for key, value in pairs.items())


def demand(values: Values, keys: list[str], pairs: dict, chinese: bool) -> str:
    """The sentence that asks for the object."""
    if values.chance(0.25):
        blank = {key: (0 if isinstance(pairs[key], (int, float)) else "") for key in keys}
        sketch = json.dumps(blank, ensure_ascii=False)
        if values.chance(0.4):
            sketch = "{" + ", ".join(f'"{key}": ...' for key in keys) + "}"
        return values.pick(["填写这个 JSON：{s}", "按格式 {s} 输出 JSON。", "请按 {s} 的格式回答。", "用这个格式返回：{s}"] if chinese else
                           ["Fill this JSON: {s}", "Answer in the format {s}", "Return JSON like {s}", "Please respond in the format {s}"]).format(s=sketch)
    if chinese:
        named = values.pick(["、", ",", "，", ", "]).join(keys)
        return values.pick(["返回一个 JSON 对象，键为 {k}。", "请提取 {k}，用 JSON 表示。", "输出 JSON，包含{k}。", "用 JSON 回答，字段：{k}", "只返回 JSON，键：{k}。",
                            "请把信息整理成 JSON，字段有 {k}。", "转成 JSON（{k}）", "生成包含 {k} 的 JSON 对象"]).format(k=named)
    named = ", ".join(keys)
    if len(keys) > 1 and values.chance(0.5):
        named = ", ".join(keys[:-1]) + " and " + keys[-1]
    return values.pick(["Return a JSON object with the keys {k}.", "Extract {k} as JSON.", "Answer in JSON with {k}.", "Reply only with a JSON object with keys {k}.",
                        "Give me JSON with the fields {k}.", "Output JSON: {k}", "Convert to JSON with keys {k}", "Make a JSON object containing {k}.",
                        "Write a JSON object with {k}."]).format(k=named)


def unanswerable(values: Values, chinese: bool) -> Example:
    """A format without the values: the honest object says so."""
    keys = [values.pick(KEYS_ZH) + values.pick(["", values.han(2, 2)]) if chinese else values.pick(KEYS_EN) for _ in range(values.rng.randint(1, 3))]
    wanted = dict.fromkeys(keys, "未知" if chinese else "unknown")
    asked = values.pick(["{t}的{k}是什么？", "谁知道{t}的{k}？", "{t}有哪些{k}？"] if chinese else ["What is the {k} of {t}?", "Who knows the {k} of {t}?", "Which {k} has {t}?"])
    topic = values.pick(UNKNOWN_ZH if chinese else UNKNOWN_EN).format(t=values.thing(chinese))
    text = (topic if values.chance(0.4) else asked.format(t=values.thing(chinese), k=keys[0])) + " " + demand(values, keys, wanted, chinese and values.chance(0.6))
    return Example("json", json.dumps(wanted, ensure_ascii=False), [{"role": "user", "content": text}], expected=wanted)


def json_fill(values: Values) -> Example:
    chinese = values.chance(0.45)
    if not values.held_out and values.chance(0.05):
        return unanswerable(values, chinese)
    pairs, statement = values.pick([natural, natural, portrait, labelled, labelled])(values, chinese)
    keys = list(pairs)
    if values.chance(0.4):
        values.rng.shuffle(keys)
    if len(keys) > 2 and values.chance(0.15):
        keys = keys[:-1]
    wanted = {key: pairs[key] for key in keys}
    request = demand(values, keys, pairs, chinese if values.chance(0.9) else not chinese)
    answer = json.dumps(wanted, ensure_ascii=False)
    shape = values.rng.random()
    if shape < 0.3:
        messages = [{"role": "system", "content": request}, {"role": "user", "content": statement}]
    elif shape < 0.65:
        messages = [{"role": "user", "content": (request + values.pick([" ", "\n", "\n\n"]) if values.chance(0.7) else request.rstrip(".。") + values.pick([": ", ":\n", "："])) + statement}]
    else:
        messages = [{"role": "user", "content": statement + values.pick([" ", "\n", "\n\n"]) + request}]
    if shape >= 0.3 and values.chance(0.2):
        extra = values.pick(["You output JSON.", "You are a helpful assistant designed to output JSON.", "You are a helpful assistant.", "你只输出 JSON。", "Always answer with JSON."])
        messages.insert(0, {"role": "system", "content": extra})
    return Example("json", answer, messages, expected=wanted)
