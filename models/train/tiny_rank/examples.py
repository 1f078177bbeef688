"""Pairs written by hand for the scores: plain sentences that no generator makes and training never sees.

They were written before the first training run and are not changed to fit a model.
"""

from __future__ import annotations

ENGLISH = """
How do I reset my password?|I forgot my login password and want a new one
The weather is nice today|It is a sunny and pleasant day
My cat is sleeping on the sofa|A kitten is taking a nap on the couch
Where can I find a cheap hotel in Paris?|I am looking for inexpensive accommodation in Paris
The stock market fell sharply yesterday|Share prices dropped a lot yesterday
He is learning to play the guitar|He takes guitar lessons
The train to London was delayed|Our London train arrived late
What should I eat for breakfast?|Give me ideas for a morning meal
My phone battery runs out very quickly|The battery of my mobile does not last long
She is a doctor at the city hospital|She works as a physician in a hospital
How can I lose weight?|What is a good way to get slimmer
I want to book a flight to Tokyo|Please reserve a plane ticket to Tokyo for me
The movie was really boring|I found the film dull
How do I sort a list in Python?|Ordering the elements of a Python list
The children are playing football in the park|Some kids kick a ball around in the park
This restaurant serves excellent noodles|The noodles at this diner are delicious
My head hurts and I have a fever|I have a headache and a high temperature
When does the bank open?|What are the opening hours of the bank
I would like a refund for my order|Can I get my money back for this purchase
The river flooded the village after heavy rain|Heavy rainfall put the village under water
She bought a new car last week|Last week she purchased a new automobile
How many planets are in the solar system?|Number of planets that circle the sun
I can't connect to the internet|My network connection does not work
Drinking coffee late keeps me awake|I cannot sleep if I have coffee at night
The company hired twenty engineers|Twenty new engineers joined the firm
What is the capital of France?|Which city is the capital of France
Turn off the lights before you leave|Switch off the lamps when you go out
The dog barked at the postman|A puppy was barking at the mail carrier
How do I call the embeddings API?|Example of a request to the embeddings interface
Interest rates on loans went up|Borrowing money has become more expensive because of higher interest rates
I need a gift for my mother's birthday|What present should I buy for my mom's birthday
The museum is closed on Monday|You cannot visit the museum on Mondays
He broke his leg while skiing|He had a skiing accident and fractured his leg
My computer is infected with a virus|There is malware on my pc
The baby is crying because she is hungry|The infant wants food and cries
How is the weather in Beijing tomorrow?|Beijing weather forecast for tomorrow
The apartment is too noisy at night|There is a lot of noise in my flat during the night
I prefer tea to coffee|I like tea better than coffee
The teacher explained the lesson clearly|Our instructor made the class easy to understand
Is it safe to swim in this lake?|Can people swim in the lake without danger
"""

CHINESE = """
怎么重置密码？|我忘了登录密码，想设一个新的
今天天气真好|今天阳光明媚，很舒服
我的猫在沙发上睡觉|小猫咪正躺在沙发上打盹
巴黎哪里有便宜的酒店？|我在找巴黎价格实惠的宾馆
昨天股市大跌|昨日股票价格跌了很多
他在学弹吉他|他正在上吉他课
去伦敦的火车晚点了|开往伦敦的列车延误
早餐吃什么好？|推荐几样适合早上吃的东西
我的手机电池很快就没电了|移动电话的电量不耐用
她是市医院的大夫|她在医院当医生
怎样才能减肥？|有什么办法瘦下来
我想订一张去东京的机票|请帮我预订飞往东京的航班
这部电影太无聊了|我觉得那片子没意思
Python里怎么给列表排序？|如何对Python列表中的元素排序
孩子们在公园里踢足球|几个小孩在公园玩球
这家餐馆的面条很好吃|这个饭店做的面味道不错
我头疼还发烧|我头痛而且体温很高
银行几点开门？|银行的营业时间是什么时候
我要申请订单退款|这次购买的钱能退给我吗
大雨过后河水淹没了村庄|暴雨让村子被水淹了
她上周买了一辆新车|上星期她购置了新的汽车
太阳系有几颗行星？|围绕太阳转的行星数量
我连不上网|我的网络连接有问题
晚上喝咖啡让我睡不着|夜里喝了咖啡就失眠
公司招了二十名工程师|二十个新工程师加入了企业
法国的首都是哪里？|哪座城市是法国首都
离开之前请关灯|走的时候把电灯关掉
那只狗对着邮递员叫|小狗冲送信的人汪汪叫
怎么调用向量接口？|嵌入API的请求示例
贷款利率上调了|因为利息提高，借钱更贵了
我要给妈妈买生日礼物|母亲过生日送什么好
博物馆周一闭馆|星期一不能参观博物馆
他滑雪时摔断了腿|他在滑雪事故中腿骨折了
我的电脑中病毒了|计算机感染了恶意软件
宝宝饿得直哭|婴儿因为肚子饿在哭
北京明天天气怎么样？|明天北京的天气预报
公寓晚上太吵了|夜里我住的房子噪音很大
比起咖啡我更爱喝茶|我喜欢茶胜过咖啡
老师把这节课讲得很清楚|教师的课讲得通俗易懂
在这个湖里游泳安全吗？|在湖中游水会不会有危险
"""

ACROSS = """
How do I reset my password?|怎么重置密码？
The weather is nice today|今天天气真好
My cat is sleeping on the sofa|我的猫在沙发上睡觉
I want to book a flight to Tokyo|我想订一张去东京的机票
The movie was really boring|这部电影太无聊了
When does the bank open?|银行几点开门？
She bought a new car last week|她上周买了一辆新车
I can't connect to the internet|我连不上网
What is the capital of France?|法国的首都是哪里？
My computer is infected with a virus|我的电脑中病毒了
The apartment is too noisy at night|公寓晚上太吵了
He is learning to play the guitar|他在学弹吉他
I would like a refund for my order|我要申请订单退款
The museum is closed on Monday|博物馆周一闭馆
How can I lose weight?|怎样才能减肥？
I prefer tea to coffee|比起咖啡我更爱喝茶
Interest rates on loans went up|贷款利率上调了
The teacher explained the lesson clearly|老师把这节课讲得很清楚
The company hired twenty engineers|公司招了二十名工程师
My head hurts and I have a fever|我头疼还发烧
"""


def pairs(text: str) -> list[tuple[str, str]]:
    return [tuple(line.split("|")) for line in text.strip().splitlines()]


BY_HAND = {"English, by hand": pairs(ENGLISH), "Chinese, by hand": pairs(CHINESE), "English to Chinese, by hand": pairs(ACROSS)}
