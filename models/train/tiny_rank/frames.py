"""Phrasings by what is meant. {v}: the action, {ing} and {ed}: its forms, {o}: the thing, {q}: the quality, {p}: a second thing.

A phrasing that starts with ~ is held out: training never sees it, the scores use nothing else.
"""

from __future__ import annotations

ACTION_FRAMES = {
    "how": ("""how do i {v} {o}|how can i {v} {o}|what is the best way to {v} {o}|tell me how to {v} {o}|steps to {v} {o}|i want to know how to {v} {o}
a guide to {ing} {o}|how should one {v} {o}|could you explain how to {v} {o}|how to {v} {o}|i have no idea how to {v} {o}|instructions for {ing} {o}
show me the way to {v} {o}|what do i need to do to {v} {o}|tips for {ing} {o}|teach me to {v} {o}|what does it take to {v} {o}|a simple method of {ing} {o}
~what is involved in {ing} {o}|~i would like to learn how people {v} {o}|~walk me through {ing} {o}|~a tutorial on how to {v} {o}|~what are the right steps if i want to {v} {o}""",
            """怎么{v}{o}|如何{v}{o}|{v}{o}的方法|怎样才能{v}{o}|请教一下{v}{o}的步骤|{o}应该怎么{v}|我想知道如何{v}{o}|{v}{o}教程|教我{v}{o}|{v}{o}要怎么做|不知道怎么{v}{o}
{v}{o}有什么技巧|告诉我怎么样{v}{o}|{o}怎么{v}比较好|{v}{o}的正确方式是什么|{v}{o}的流程
~谁能讲讲{v}{o}的诀窍|~想{v}{o}该从哪里下手|~{v}{o}具体怎么操作|~求一份{v}{o}的指南"""),
    "plan": ("""i plan to {v} {o}|i am going to {v} {o}|i intend to {v} {o}|we will {v} {o} tomorrow|i am thinking about {ing} {o}|i want to {v} {o}|next week i will {v} {o}
my plan is to {v} {o}|i would like to {v} {o}|we are about to {v} {o}|i hope to {v} {o} soon|i have decided to {v} {o}
~i am considering {ing} {o} in the near future|~soon we are going to {v} {o}|~it is my intention to {v} {o}|~i feel like {ing} {o} one of these days""",
             """我打算{v}{o}|我准备{v}{o}|我计划{v}{o}|我想要{v}{o}|明天我们会{v}{o}|下周我要{v}{o}|我正考虑{v}{o}|我希望能{v}{o}|我决定{v}{o}|接下来要{v}{o}
~过几天我会去{v}{o}|~我有意{v}{o}|~最近想着{v}{o}|~我们马上就要{v}{o}了"""),
    "done": ("""i {ed} {o} yesterday|yesterday i {ed} {o}|i already {ed} {o}|we finally {ed} {o}|i just {ed} {o}|last week we {ed} {o}|this morning i {ed} {o}|i {ed} {o} some time ago
they {ed} {o} last month|he {ed} {o}|she {ed} {o} today
~a few days ago i {ed} {o}|~not long ago we {ed} {o}|~it was last night that i {ed} {o}|~in the end i {ed} {o}""",
             """我昨天{v}了{o}|我已经{v}了{o}|刚刚{v}了{o}|我们终于{v}了{o}|上周我们{v}了{o}|今天早上我{v}了{o}|他{v}了{o}|她前天{v}了{o}|{o}我{v}过了
~前些日子我{v}了{o}|~昨晚我刚{v}过{o}|~最后我还是{v}了{o}|~不久以前我们{v}了{o}"""),
    "request": ("""please {v} {o}|can you {v} {o} for me|help me {v} {o}|would you mind {ing} {o}|i would like you to {v} {o}|could you please {v} {o}|{v} {o} for me please|i need you to {v} {o}
will you {v} {o}|do me a favour and {v} {o}
~is it possible for you to {v} {o}|~kindly {v} {o}|~may i ask you to {v} {o}|~i would be grateful if you could {v} {o}""",
                """请{v}{o}|帮我{v}{o}|能不能替我{v}{o}|麻烦你{v}一下{o}|可以给我{v}{o}吗|请你帮忙{v}{o}|你来{v}{o}吧|我需要你{v}{o}|拜托{v}一下{o}
~劳驾您{v}{o}|~可否请您{v}{o}|~希望你能帮着{v}{o}|~有劳你替我{v}一下{o}"""),
    "where": ("""where can i {v} {o}|which place is good for {ing} {o}|any place to {v} {o} around here|i am looking for somewhere to {v} {o}|where do people {v} {o}|the best place to {v} {o}
where should i {v} {o}|is there a spot nearby to {v} {o}
~do you know a location where i could {v} {o}|~in which place is it possible to {v} {o}|~where around here could one {v} {o}|~i am searching for a place for {ing} {o}""",
              """哪里可以{v}{o}|在哪儿{v}{o}|什么地方能{v}{o}|想找个地方{v}{o}|附近有地方{v}{o}吗|{v}{o}去哪里好|哪个地方适合{v}{o}|去哪{v}{o}
~请问何处能够{v}{o}|~有没有推荐的地方可以{v}{o}|~这一带哪儿能{v}{o}|~{v}{o}的地点在哪"""),
    "forbid": ("""do not {v} {o}|you should not {v} {o}|never {v} {o}|it is forbidden to {v} {o}|avoid {ing} {o}|{ing} {o} is not allowed|you must not {v} {o}|stop {ing} {o}|don't {v} {o}
~nobody is permitted to {v} {o}|~it is against the rules to {v} {o}|~{ing} {o} is prohibited here|~you had better not {v} {o}""",
               """不要{v}{o}|不能{v}{o}|禁止{v}{o}|别{v}{o}|不应该{v}{o}|不允许{v}{o}|不可以{v}{o}|停止{v}{o}|请勿{v}{o}
~严禁{v}{o}|~这里不准{v}{o}|~最好别去{v}{o}|~规定不许{v}{o}"""),
    "cannot": ("""i cannot {v} {o}|i failed to {v} {o}|i am unable to {v} {o}|i have trouble {ing} {o}|why can i not {v} {o}|it is impossible to {v} {o}|i can't {v} {o}|i did not manage to {v} {o}
{ing} {o} does not work
~i keep failing when i try to {v} {o}|~somehow i do not succeed in {ing} {o}|~i run into problems when {ing} {o}|~what stops me from {ing} {o}""",
               """我没法{v}{o}|我无法{v}{o}|{o}{v}不了|没能{v}{o}|不知道为什么{v}不了{o}|{v}{o}失败了|不会{v}{o}|{v}{o}遇到困难|为什么不能{v}{o}
~怎么试都没办法{v}{o}|~{v}{o}总是出问题|~{v}{o}一直不成功|~想{v}{o}却做不到"""),
    "why": ("""why should i {v} {o}|what are the benefits of {ing} {o}|reasons to {v} {o}|why do people {v} {o}|is it worth {ing} {o}|what is the point of {ing} {o}|advantages of {ing} {o}
~what good does it do to {v} {o}|~for what reason do people {v} {o}|~what speaks for {ing} {o}""",
            """为什么要{v}{o}|{v}{o}有什么好处|{v}{o}的理由|人们为什么{v}{o}|值得{v}{o}吗|{v}{o}有什么意义|{v}{o}的优点
~{v}{o}到底图什么|~{v}{o}能带来什么益处|~{v}{o}的原因何在"""),
    "keyword": ("{v} {o}|{ing} {o}|{o} {v}|~to {v} some {o}|~{ing} of {o}", "{v}{o}|{o}{v}|{v} {o}|~{o}的{v}|~关于{v}{o}"),
}

THING_FRAMES = {
    "price": ("""how much is {o}|what does {o} cost|price of {o}|how expensive is {o}|how much do i have to pay for {o}|what is the price of {o}|tell me the cost of {o}|{o} price
how much money do i need for {o}|~what would i be charged for {o}|~how much will {o} set me back|~what do they ask for {o}""",
              """{o}多少钱|{o}的价格是多少|{o}卖多少钱|{o}贵不贵|{o}价格|{o}要花多少钱|请问{o}怎么卖|{o}的费用|~入手{o}得花费多少|~{o}是什么价位|~{o}一般售价多少"""),
    "what": ("""what is {o}|define {o}|explain what {o} means|tell me about {o}|what does {o} mean|i want to know more about {o}|introduction to {o}|what do you know about {o}|the meaning of {o}
information about {o}|~give me an overview of {o}|~what exactly is meant by {o}|~can you say something about {o}""",
             """{o}是什么|什么是{o}|解释一下{o}|给我介绍{o}|{o}是什么意思|我想了解{o}|{o}简介|关于{o}你知道什么|{o}的含义|{o}的相关信息|~说说{o}吧|~{o}究竟指的是什么|~谈谈你对{o}的了解"""),
    "like": ("""i like {o}|i love {o}|i am fond of {o}|{o} is my favourite|i enjoy {o}|i am a big fan of {o}|i really like {o}|my favourite is {o}|nothing is better than {o}
~{o} makes me happy|~i am crazy about {o}|~i have a soft spot for {o}""",
             """我喜欢{o}|我爱{o}|我最喜欢的是{o}|{o}是我的最爱|我对{o}情有独钟|我很喜欢{o}|我是{o}的爱好者|~我特别钟爱{o}|~{o}深得我心|~我对{o}爱不释手"""),
    "dislike": ("""i do not like {o}|i hate {o}|i can't stand {o}|i dislike {o}|{o} is not for me|i am not a fan of {o}|i don't care for {o}|~i find {o} unbearable|~i have an aversion to {o}|~i would rather do without {o}""",
                """我不喜欢{o}|我讨厌{o}|我受不了{o}|我很烦{o}|我对{o}没有好感|我不爱{o}|~{o}让我反感|~我最怕{o}|~我一点也不想要{o}"""),
    "suggest": ("""recommend a good {o}|any suggestions for {o}|which {o} is best|can you recommend {o}|i am looking for a good {o}|what {o} do you suggest|the best {o}|top rated {o}|what is a good {o}
~do you have a tip for {o}|~what would be a nice {o}|~help me choose {o}""",
                """推荐一个好的{o}|有什么{o}推荐|哪个{o}最好|能推荐{o}吗|我在找好的{o}|哪种{o}比较好|最好的{o}|{o}排行|~求推荐{o}|~{o}有什么可以安利的|~帮我挑个{o}"""),
    "broken": ("""{o} is broken|{o} does not work|{o} is out of order|{o} stopped working|there is a problem with {o}|something is wrong with {o}|{o} is damaged|{o} is not working any more|{o} failed
~{o} has given up|~i have an issue with {o}|~{o} seems to be faulty""",
               """{o}坏了|{o}不能用了|{o}出故障了|{o}有问题|{o}不工作了|{o}损坏|{o}出了毛病|{o}失灵了|~{o}好像出了状况|~{o}用不了|~{o}突然罢工了"""),
    "need": ("""i need {o}|i am looking for {o}|i require {o}|we need {o} right now|i could use {o}|do you have {o}|i want {o}|give me {o}|~i cannot do without {o}|~i am short of {o}|~is there any {o} for me""",
             """我需要{o}|我想要{o}|你有{o}吗|给我{o}|我们急需{o}|我要{o}|我在找{o}|~我缺{o}|~能给我来点{o}吗|~没有{o}可不行"""),
    "many": ("""there are many {o} here|we have plenty of {o}|a lot of {o}|lots of {o} can be found here|there is so much {o}|numerous {o}|~{o} is everywhere around here|~this place is full of {o}|~there is no shortage of {o}""",
             """这里有很多{o}|我们有大量的{o}|许多{o}|到处都是{o}|{o}非常多|{o}数量很多|~{o}随处可见|~{o}多得数不清|~这儿满是{o}"""),
    "name": ("{o}|the {o}|a {o}|some {o}|~this {o}|~one {o}", "{o}|一个{o}|这个{o}|~那个{o}|~某个{o}"),
}

QUALITY_FRAMES = {
    "state": ("""{o} is {q}|a very {q} {o}|{o} seems {q}|what a {q} {o}|{o} looks {q}|{q} {o}|this {o} is really {q}|i think {o} is {q}|{o} is quite {q}|the {o} was so {q}
~in my opinion {o} is rather {q}|~how {q} {o} is|~we had a {q} {o}|~{o} turned out to be {q}""",
              """{o}很{q}|{q}的{o}|这个{o}非常{q}|{o}看起来{q}|我觉得{o}很{q}|{o}真{q}|多么{q}的{o}|{o}太{q}了|{o}挺{q}的|~在我看来{o}相当{q}|~{o}显得{q}|~那个{o}{q}极了|~没想到{o}这么{q}"""),
    "ask": ("""is {o} {q}|do you think {o} is {q}|why is {o} so {q}|i wonder whether {o} is {q}|~would you call {o} {q}|~can one say that {o} is {q}""",
            """{o}{q}吗|{o}是不是很{q}|你觉得{o}{q}吗|{o}为什么这么{q}|~{o}算得上{q}吗|~请问{o}够不够{q}"""),
}

PAIR_FRAMES = {
    "compare": ("""which is better, {o} or {p}|the difference between {o} and {p}|{o} or {p}|compare {o} with {p}|{o} versus {p}|should i take {o} or {p}|how does {o} differ from {p}
~what sets {o} apart from {p}|~if you had to choose between {o} and {p}|~{o} compared to {p}""",
                """{o}和{p}哪个好|{o}与{p}的区别|{o}还是{p}|比较一下{o}和{p}|{o}跟{p}有什么不同|~{o}和{p}之间差在哪|~要在{o}和{p}里选一个|~{o}对比{p}"""),
    "both": ("""i have {o} and {p}|{o} together with {p}|both {o} and {p}|{o} as well as {p}|{o} and {p}|~not only {o} but also {p}|~{o} along with {p}""",
             """我有{o}和{p}|{o}与{p}|{o}以及{p}|{o}和{p}一起|~既有{o}又有{p}|~{o}连同{p}"""),
    "at": ("""there is {o} near {p}|{o} close to {p}|{o} next to {p}|{o} around {p}|{p} has {o} nearby|~{o} not far from {p}|~beside {p} you find {o}""",
           """{p}附近有{o}|{o}在{p}旁边|{p}旁边的{o}|离{p}很近的{o}|~{o}就挨着{p}|~{p}周边的{o}"""),
}

# Who does what, where (l) and when (t).
SCENE_FRAMES = {
    "plain": ("""{s} {ed} {o}|{s} is {ing} {o}|{s} wants to {v} {o}|{s} likes {ing} {o}|i saw {s} {ing} {o}|~{s} started {ing} {o}|~{s} was busy {ing} {o}""",
              """{s}{v}了{o}|{s}正在{v}{o}|{s}想{v}{o}|{s}喜欢{v}{o}|我看见{s}在{v}{o}|~{s}开始{v}{o}|~{s}忙着{v}{o}"""),
    "t": ("""{s} {ed} {o} {t}|{t} {s} {ed} {o}|{t} {s} is {ing} {o}|{s} is going to {v} {o} {t}|~it was {t} that {s} {ed} {o}|~{s}, {t}, decided to {v} {o}""",
          """{s}{t}{v}了{o}|{t}{s}{v}{o}|{t}{s}在{v}{o}|{s}{t}要{v}{o}|~{t}的时候{s}{v}着{o}|~说到{t}，{s}去{v}{o}"""),
    "l": ("""{s} {ed} {o} in {l}|in {l} {s} {ed} {o}|{s} is {ing} {o} at {l}|at {l} {s} wants to {v} {o}|~over in {l} there is {s} {ing} {o}|~{l} is where {s} {ed} {o}""",
          """{s}在{l}{v}了{o}|在{l}{s}{v}{o}|{s}正在{l}{v}{o}|{s}想在{l}{v}{o}|~{l}那边有{s}在{v}{o}|~{s}{v}{o}的地方是{l}"""),
    "lt": ("""{s} {ed} {o} in {l} {t}|{t} {s} {ed} {o} at {l}|in {l} {s} {ed} {o} {t}|~{t}, over in {l}, {s} {ed} {o}|~{s} went to {l} {t} and {ed} {o}""",
           """{t}{s}在{l}{v}了{o}|{s}{t}在{l}{v}{o}|在{l}{s}{t}{v}了{o}|~{s}{t}到{l}去{v}了{o}|~{t}，{l}那里，{s}{v}{o}"""),
}


def split(text: str) -> tuple[list[str], list[str]]:
    """Trained phrasings, then held-out ones."""
    phrasings = [part.strip() for part in text.replace("\n", "|").split("|") if part.strip()]
    return [part for part in phrasings if part[0] != "~"], [part[1:] for part in phrasings if part[0] == "~"]
