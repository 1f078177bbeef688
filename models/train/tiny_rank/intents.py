"""Whole sentences by what they mean. {city}, {food}, ...: a slot, filled alike in both sentences of a pair.

Each intent is two lines: English, then Chinese. ~ marks held-out phrasings. `answer:` starts the passages that answer it.
"""

from __future__ import annotations

from . import intents_more
from .frames import split

TABLE = """
will it rain in {city} {day}|{day} in {city}: rain or not|do i need an umbrella in {city} {day}|is rain expected in {city} {day}|chance of rain for {city} {day}|~are showers likely in {city} {day}|~could it get wet in {city} {day}
{city}{day}会下雨吗|{day}{city}有没有雨|{day}去{city}要带伞吗|{city}{day}降雨概率|{city}{day}是不是有雨|~{day}{city}会不会降水|~{city}{day}会淋雨吗
answer:light rain is expected in {city} {day} with a high of 21 degrees|{city}{day}有小雨，最高气温21度

it is very hot in {city} {day}|{day} the heat in {city} is terrible|the temperature in {city} is high {day}|{day} {city} is boiling|~{city} suffers from hot weather {day}|~{day} it is scorching in {city}
{city}{day}很热|{day}{city}气温很高|{day}{city}热得受不了|{city}{day}高温|~{day}{city}像火炉一样|~{city}{day}酷热难耐

it is freezing in {city}|the cold in {city} is bitter|winter in {city} is icy|{city} has very low temperatures|~in {city} you shiver from cold|~{city} is frosty these days
{city}非常冷|{city}天寒地冻|{city}气温很低|{city}的冬天冷得刺骨|~{city}冻得人发抖|~{city}寒气逼人

the sun is shining and the sky is blue|it is a bright sunny day|what lovely sunshine|fine weather with clear skies|the day is clear and sunny|~not a cloud in the sky, plenty of sunshine|~the weather is wonderful, sunny all day
阳光灿烂，天空很蓝|今天是大晴天|晴空万里|天气晴朗|今天太阳很好|~万里无云，阳光充足|~天气好极了，整天都出太阳

how do i get to {place}|which way to {place}|directions to {place}|can you show me the way to {place}|what is the route to {place}|i am lost, how do i reach {place}|~please point me toward {place}|~what road leads to {place}
{place}怎么走|去{place}的路线|怎么去{place}|到{place}该走哪条路|请问如何前往{place}|~请指一下去{place}的方向|~往{place}走哪边

how far is {place}|what is the distance to {place}|is {place} far from here|how long does it take to reach {place}|how many kilometres to {place}|~is {place} within walking distance|~is it a long way to {place}
{place}有多远|到{place}的距离是多少|{place}离这里远吗|去{place}要多久|到{place}有多少公里|~走路能到{place}吗|~{place}距此多少路

what time does {place} open|opening hours of {place}|when is {place} open|until when is {place} open|when does {place} close|business hours for {place}|~at what hour can i enter {place}|~how late does {place} stay open
{place}几点开门|{place}的营业时间|{place}什么时候开放|{place}开到几点|{place}几点关门|~{place}从几点开到几点|~{place}一般何时打烊
answer:{place} is open from 9 am to 6 pm on weekdays|{place}工作日上午九点到下午六点开放

i would like to reserve a table for {number} people|book a table for {number} at the restaurant|a table for {number} please|can we have a reservation for {number} guests|~we need seats for {number} at dinner|~is there a free table for {number} persons
我想订一张{number}人的桌子|餐厅预订{number}位|请给我们{number}人的座位|可以预约{number}个人用餐吗|~晚饭要留{number}个位子|~有没有{number}人桌

a ticket to {city} please|i want to buy a ticket to {city}|how do i book a trip to {city}|reserve a seat to {city} for me|get me a ticket for {city}|~one passage to {city}, please|~i have to travel to {city}, sell me a ticket
买一张去{city}的票|我要订去{city}的票|帮我预订到{city}的座位|去{city}的票怎么买|给我来张到{city}的票|~麻烦出一张{city}的票|~我得去{city}，请卖我一张票

the flight to {city} was cancelled|my plane to {city} will not leave|they cancelled our flight to {city}|no flight to {city} today, it was called off|~our plane to {city} has been scrapped|~the airline dropped the flight to {city}
去{city}的航班取消了|飞{city}的飞机不飞了|我们到{city}的航班被取消|前往{city}的航班没了|~飞往{city}的班次停飞了|~航空公司把去{city}的航班撤了

the train to {city} is late|the train for {city} has a delay|our train to {city} will arrive late|delay of the {city} train|~the {city} train is behind schedule|~we must wait since the train to {city} is not on time
去{city}的火车晚点|开往{city}的列车延误了|到{city}的火车迟到了|{city}列车推迟到达|~去{city}的车没有准时到|~前往{city}的列车误点

what are the sights of {city}|what should i see in {city}|tourist attractions in {city}|places worth visiting in {city}|things to do in {city}|famous spots of {city}|~what is there to see around {city}|~must see landmarks in {city}
{city}有什么好玩的|{city}旅游景点|去{city}应该看什么|{city}值得去的地方|{city}有哪些名胜|~在{city}能逛哪些地方|~{city}必看的景观

my {device} does not turn on|the {device} won't start|i cannot switch on my {device}|my {device} stays black and dead|{device} not starting|~pressing the power button of my {device} does nothing|~my {device} refuses to boot
我的{device}开不了机|{device}无法启动|{device}打不开了|{device}没反应|~{device}按电源键没有反应|~{device}启动不起来

my {device} is too slow|the {device} has become sluggish|why does my {device} lag|how can i speed up my {device}|~my {device} takes forever to respond|~everything on the {device} is so laggy
我的{device}太慢了|{device}变卡了|{device}为什么这么卡|怎么让{device}变快|~{device}反应迟钝|~{device}运行起来卡顿

i forgot my password|how do i reset my password|i can not log in because i lost my password|recover a lost password|change a forgotten password|password reset|~my password slipped my mind, what now|~help, i do not remember my login secret
忘记密码了怎么办|如何重置密码|密码丢了登录不了|找回密码|怎么重新设置密码|密码忘了|~密码想不起来了|~登录口令不记得了怎么恢复
answer:open the sign in page, press forgot password and follow the link in the email|在登录页点击忘记密码，按照邮件中的链接操作

how do i create an account|sign up for an account|where can i register|i want to open a new account|registration of a new user|~how does one become a registered user|~i would like to join and get an account
怎么注册账号|如何创建账户|在哪里注册|我想开一个新账号|新用户注册|~怎样成为注册用户|~我要加入，怎么建账户

how do i get an api key|where can i create an api key|make a new access key|generate a key for the api|i need a key to call the service|~from where do i obtain an api token|~how to acquire credentials for the api
怎么获取密钥|在哪里创建api key|生成新的接口密钥|如何申请api密钥|调用服务需要的密钥从哪来|~去哪儿拿api令牌|~接口凭证怎么弄到
answer:create an api key on the keys page of the console and keep it secret|在控制台的密钥页面新建api密钥并妥善保管

my request was refused with too many requests|i get error 429|the rate limit was reached|too many calls per minute|why am i being throttled|~the server says that i send requests too often|~my calls got limited
请求过多被拒绝|返回429错误|达到速率限制|每分钟调用次数太多|为什么被限流|~服务器说我请求太频繁|~调用被限制了

what models are available|which models can i use|list of the models|show all models that are offered|what models do you support|~give me the names of the models on offer|~what choice of models is there
有哪些模型可用|我可以用哪些模型|模型列表|你们支持什么模型|显示所有模型|~都提供了什么模型|~列出能选的模型

how do i top up my balance|add money to my account|recharge my credit|where can i refill my account|put funds on my account|~my balance is used up, how do i add to it|~i wish to deposit credit
怎么充值|如何给账户加钱|余额充值|在哪里给账号充钱|往账户里存钱|~余额用完了怎么补|~我想往账上打款

i want my money back|how do i get a refund|please refund my order|refund request|can i return it and get the money back|~return the sum that i paid|~i demand repayment for what i bought
我要退款|怎么申请退款|请把钱退给我|订单退款|可以退货退钱吗|~把我付的钱还回来|~我要求返还货款

where is my parcel|my package has not arrived|when will my order be delivered|track my delivery|status of my shipment|~what happened to the goods that i ordered|~i am still waiting for my package
我的快递到哪了|包裹还没收到|订单什么时候送到|查询物流|快递状态|~我买的东西怎么还不来|~还在等我的包裹

how do i stream the answer|turn on streaming output|get tokens one by one as they are made|receive the reply piece by piece|streaming responses|~can the answer arrive bit by bit|~i want partial results while the model writes
怎么流式输出|开启流式返回|逐个返回词元|如何一段一段接收回答|流式响应|~回答能边生成边返回吗|~想在模型写的时候就看到部分结果

how do i sort a list|order the elements of a list|sorting an array|arrange the items of a list in order|sort numbers ascending|~put the entries of an array into order|~bring list items into sequence
怎么给列表排序|对数组元素排序|列表排序方法|把列表里的元素按顺序排列|数字升序排列|~让数组中的条目有序|~将列表的项从小到大排

how do i read a file|open a file and read its contents|load text from a file|reading a file line by line|get the contents of a file|~fetch what is inside a file|~import the text stored in a file
怎么读取文件|打开文件读取内容|从文件加载文本|逐行读文件|获取文件内容|~取出文件里的东西|~把文件中的文字读进来

my program crashes|the program stops with an error|my code throws an exception|the application crashed|why does my code fail|~my script dies unexpectedly|~the software exits with a fault
我的程序崩溃了|程序报错停止|代码抛出异常|应用闪退|为什么我的代码出错|~脚本突然退出了|~软件运行时挂掉了

the code does not compile|compiler error|i get an error when i build the program|compilation failed|~the build breaks|~the compiler rejects my source
代码编译不过|编译错误|构建程序时报错|编译失败|~编译器不接受我的代码|~项目构建不起来

write a function that adds two numbers|function for the sum of two numbers|code to add two values|a program that computes the sum|~implement addition of two integers|~give me code which sums a pair of numbers
写一个两数相加的函数|求两个数之和的代码|计算和的程序|实现加法函数|~编写把两个整数加起来的代码|~给出求和的实现

i have a headache|my head hurts|there is a pain in my head|my head aches badly|suffering from a headache|~my head is killing me|~a terrible ache in the head
我头疼|头痛得厉害|脑袋疼|我的头很痛|头部疼痛|~脑袋疼得要命|~头一阵阵地痛

i have a fever|my temperature is high|i am running a temperature|my body is burning hot with fever|~the thermometer shows that i have a fever|~i feel feverish
我发烧了|体温很高|我发热|身上很烫，发烧|~量了体温，烧得不轻|~我觉得身体在烧

i cannot sleep at night|i lie awake every night|what helps against insomnia|trouble falling asleep|i have difficulty sleeping|~sleep does not come to me|~how can i fall asleep faster
晚上睡不着|我失眠|整夜睡不着觉|怎么治失眠|入睡困难|~夜里总是醒着|~怎样更快入睡

how can i lose weight|ways to become slimmer|i want to lose some kilos|tips for losing weight|how do i get thinner|diet to lose weight|~how do i burn fat and get in shape|~i am too fat, what helps
怎么减肥|如何瘦下来|我想减重|减肥的方法|怎样变瘦|~怎么消耗脂肪|~我太胖了怎么办
answer:eat fewer calories than you burn, move every day and sleep enough|少吃多动，保持热量缺口，并保证睡眠

what are the symptoms of {illness}|how do i know that i have {illness}|signs of {illness}|how is {illness} noticed|~by what can one recognize {illness}|~indications that someone has {illness}
{illness}有什么症状|怎么知道得了{illness}|{illness}的表现|{illness}的征兆|~怎么看出是{illness}|~患{illness}会有哪些迹象

what helps against {illness}|how is {illness} treated|medicine for {illness}|i have {illness}, what should i do|cure for {illness}|~what do doctors prescribe for {illness}|~how do i get rid of {illness}
{illness}怎么治|{illness}吃什么药|得了{illness}怎么办|{illness}的治疗方法|~怎样摆脱{illness}|~医生对{illness}开什么药

i want to see a doctor|make an appointment with a doctor|i need medical help|which doctor should i see|book a visit to the hospital|~arrange a medical examination for me|~i should be examined by a physician
我想看医生|预约医生|我要去医院挂号|应该看哪个科|~帮我安排体检|~我需要就诊

how do i make {food}|recipe for {food}|how is {food} cooked|teach me to prepare {food}|steps for cooking {food}|ingredients for {food}|~what goes into {food} and how do you make it|~homemade {food} instructions
{food}怎么做|{food}的做法|{food}菜谱|教我做{food}|做{food}的步骤|~{food}用什么料，怎么烧|~在家自制{food}
answer:to make {food}, prepare the ingredients, heat the pan and season to taste|做{food}要先备好食材，热锅后下料，最后调味

the {food} tastes great|what delicious {food}|i enjoyed the {food}|the {food} was tasty|this {food} is yummy|~the flavour of the {food} is superb|~i could eat this {food} every day
{food}很好吃|{food}味道好极了|这{food}真香|{food}太美味了|~这{food}的口味一流|~这样的{food}天天吃都不腻

i am hungry|i want something to eat|i am starving|my stomach is empty|let us get some food|~i could use a bite|~it is time to eat, i feel hunger
我饿了|想吃点东西|肚子空了|饿得不行|我们去吃饭吧|~肚子咕咕叫|~该吃东西了

i am thirsty|i want something to drink|i need some water|give me a drink|my mouth is dry|~i am dying for a glass of water|~something to quench my thirst
我渴了|想喝水|我要喝点东西|口干|~嗓子冒烟了想喝水|~来杯水解渴

where is a good restaurant|recommend a place to eat|where can i eat well|any good restaurants nearby|~where do they serve good food|~i look for a nice place for dinner
哪里有好餐馆|推荐吃饭的地方|附近有什么好吃的|哪家饭店不错|~哪里的菜做得好|~想找家不错的馆子吃晚饭

the stock prices fell|the stock market went down|shares dropped sharply|stocks lost value|~the market tumbled|~shares are in decline
股票跌了|股市下跌|股价大幅下降|股票贬值|~大盘跳水了|~股市一路走低

the stock prices rose|the stock market went up|shares gained a lot|stocks climbed|~the market rallied|~shares are soaring
股票涨了|股市上涨|股价大幅上升|股票升值|~大盘走高|~股市一路飙升

interest rates went up|the central bank raised the interest rate|loans became more expensive|higher interest rates|~borrowing costs increased|~the bank now asks for more interest
利率上升了|央行加息|贷款变贵了|利息提高|~借款成本增加了|~银行收的利息更多了

how can i save money|tips for spending less|i want to save more|how to put money aside|~how do i keep my expenses low|~ways to cut down on spending
怎么省钱|如何少花钱|我想多存钱|攒钱的方法|~怎样压缩开支|~如何把钱攒下来

i lost my {thing}|my {thing} is gone|i cannot find my {thing}|my {thing} has disappeared|where is my {thing}|~i must have left my {thing} somewhere|~my {thing} is missing
我的{thing}丢了|找不到我的{thing}|我的{thing}不见了|{thing}去哪了|~我的{thing}不知落在哪儿了|~我的{thing}没影了

someone stole my {thing}|my {thing} was stolen|a thief took my {thing}|~i have been robbed of my {thing}|~my {thing} got nicked
有人偷了我的{thing}|我的{thing}被偷了|小偷拿走了我的{thing}|~我的{thing}遭窃了|~我的{thing}给人顺走了

what time is it|tell me the time|what is the time now|do you know what time it is|current time|~what does the clock say|~could you give me the hour
现在几点|几点了|告诉我时间|现在是什么时间|当前时间|~钟上显示几点|~请问现在的钟点

how old are you|what is your age|tell me your age|when were you born|~how many years do you count|~what year is your birthday
你多大了|你几岁|你的年龄是多少|你什么时候出生|~您今年高寿|~你是哪年生的

what is your name|who are you|tell me your name|what are you called|may i know your name|~how shall i address you|~introduce yourself
你叫什么名字|你是谁|告诉我你的名字|怎么称呼你|~请做个自我介绍|~您贵姓

hello|hi|good morning|hey there|nice to meet you|good day|~greetings|~how do you do
你好|您好|早上好|嗨|很高兴认识你|~大家好|~幸会

goodbye|bye|see you later|see you tomorrow|farewell|take care|~until next time|~so long
再见|拜拜|明天见|回头见|下次见|~后会有期|~我先走了

thank you very much|thanks a lot|many thanks|i am grateful|thanks for your help|~i really appreciate it|~much obliged
非常感谢|多谢|谢谢你的帮助|太感谢了|~不胜感激|~真是麻烦你了，谢谢

i am sorry|please forgive me|i apologize|my apologies|excuse me, it was my fault|~i regret what i did|~pardon me
对不起|请原谅|我道歉|抱歉|是我的错|~真不好意思|~恕我冒犯

i am very happy today|today i feel great|what a joyful day|i am in a good mood|i am so glad|~i could jump for joy|~my spirits are high
我今天很高兴|今天心情很好|我太开心了|我感觉很快乐|~我乐得合不拢嘴|~今天精神特别好

i feel sad|i am unhappy|i am in a bad mood|i feel down today|i am depressed|~my heart is heavy|~i could cry
我很难过|我不开心|心情不好|我很伤心|情绪低落|~我想哭|~心里堵得慌

i am angry with {person}|{person} makes me mad|i am furious at {person}|{person} annoys me|~{person} drives me up the wall|~i am cross with {person}
我生{person}的气|{person}让我很恼火|我对{person}很愤怒|{person}惹我生气|~{person}气死我了|~我对{person}一肚子火

i miss {person}|i long for {person}|i want to see {person} again|i think of {person} every day|~without {person} i feel lonely|~how i wish {person} were here
我想念{person}|我很想{person}|我想再见到{person}|每天都想着{person}|~{person}不在我很寂寞|~真希望{person}在这里

{person} works in {place}|{person} has a job at {place}|{person} is employed at {place}|the workplace of {person} is {place}|~{person} earns a living at {place}|~{place} is where {person} works
{person}在{place}工作|{person}在{place}上班|{person}的工作单位是{place}|{person}受雇于{place}|~{person}靠在{place}干活谋生|~{place}是{person}上班的地方

{person} lives in {city}|the home of {person} is in {city}|{person} is a resident of {city}|{person} has a house in {city}|~{city} is where {person} stays|~{person} has settled in {city}
{person}住在{city}|{person}的家在{city}|{person}是{city}居民|{person}在{city}有房子|~{person}定居{city}|~{city}是{person}居住的地方

the {animal} is sleeping|the {animal} fell asleep|the {animal} takes a nap|a {animal} lies asleep|~the {animal} is having a rest with closed eyes|~the {animal} dozes
{animal}在睡觉|{animal}睡着了|{animal}打盹|{animal}正在休息|~{animal}闭着眼睛歇着|~{animal}呼呼大睡

the {animal} is eating|the {animal} has a meal|a {animal} eats its food|someone feeds the {animal}|~the {animal} is chewing|~the {animal} gets its dinner
{animal}在吃东西|{animal}正在进食|有人喂{animal}|{animal}吃食物|~{animal}嚼着东西|~{animal}在用餐

the {animal} is running|the {animal} runs fast|a {animal} is racing along|the {animal} ran away|~the {animal} dashes off|~a {animal} sprints
{animal}在跑|{animal}跑得很快|{animal}飞奔|{animal}跑掉了|~{animal}撒腿就跑|~{animal}狂奔而去

children play {sport} in {place}|some kids are playing {sport} at {place}|boys and girls play {sport} in {place}|~youngsters enjoy {sport} at {place}|~in {place} a few children do {sport}
孩子们在{place}{sport}|几个小孩在{place}玩{sport}|小朋友在{place}进行{sport}|~一群娃娃在{place}玩着{sport}|~{place}里有孩子在{sport}

our team won the {sport} match|we won the game of {sport}|victory in {sport}|we beat them at {sport}|~our side came first in {sport}|~they lost to us in {sport}
我们队赢了{sport}比赛|{sport}比赛我们获胜|我们在{sport}中胜利了|{sport}打败了对手|~{sport}我方拿下|~{sport}对方输给了我们

what is the capital of {country}|capital city of {country}|which city is the capital of {country}|name the capital of {country}|~where is the seat of government of {country}|~{country} is governed from which city
{country}的首都是哪里|{country}首都|哪个城市是{country}的首都|{country}的首都叫什么|~{country}政府设在哪座城|~{country}的京城是哪

what language is spoken in {country}|which language do people in {country} speak|language of {country}|official language of {country}|~in what tongue do they talk in {country}|~how do people in {country} talk
{country}说什么语言|{country}人讲什么话|{country}的官方语言|{country}用哪种语言|~在{country}交谈用什么话|~{country}通行哪种语言

how many people live in {country}|population of {country}|what is the number of inhabitants of {country}|how big is the population of {country}|~how many inhabitants does {country} have|~the headcount of {country}
{country}有多少人口|{country}的人口|{country}有多少居民|{country}人口数量|~{country}住着多少人|~{country}一共有几口人

do i need a visa for {country}|visa requirements of {country}|how do i get a visa for {country}|can i enter {country} without a visa|~what papers must i have to enter {country}|~is a visa necessary when travelling to {country}
去{country}需要签证吗|{country}签证要求|怎么办{country}签证|{country}免签吗|~入境{country}要什么手续|~到{country}旅行要不要签证

the traffic is terrible|there is a traffic jam|the road is blocked by cars|we are stuck in traffic|heavy traffic on the road|~cars are not moving on the street|~the highway is congested
堵车很严重|路上交通拥堵|我们被堵在路上|马路上车太多|道路堵塞|~街上的车一动不动|~高速公路堵得水泄不通

there was an accident on the road|two cars crashed|a car crash happened|traffic accident|a collision of vehicles|~a smash up occurred on the street|~one car hit another
路上发生车祸|两辆车相撞|出了交通事故|汽车碰撞|~街上有车撞了|~一辆车撞上了另一辆

the meeting starts at {number} o'clock|the meeting begins at {number}|our meeting is at {number}|conference at {number} o'clock|~we convene at {number}|~the talks kick off at {number}
会议{number}点开始|{number}点开会|我们的会在{number}点|会议时间是{number}点|~{number}点大家碰头开会|~例会定于{number}点

the meeting was postponed|the meeting has been moved to a later date|we delayed the meeting|the conference is put off|~the gathering will take place later than planned|~they pushed back the meeting
会议推迟了|会议改期了|我们把会议延后了|会议延期|~会改到以后再开|~开会的时间往后挪了

i am looking for a job|how do i find work|i want a new job|job search|i am unemployed and need work|~where are positions open|~i would like to be employed
我在找工作|怎么找工作|我想换个新工作|求职|失业了需要工作|~哪里在招人|~想谋个职位

i got a pay rise|my salary went up|i earn more money now|they raised my wage|~my boss gave me more pay|~my income has grown
我涨工资了|薪水提高了|我现在挣得更多|老板给我加薪|~我的收入增加了|~月薪比以前多了

i passed the exam|i succeeded in the test|my exam went well and i passed|good marks in the exam|~i got through the examination|~the test is behind me with success
我考试通过了|考试及格了|我考过了|考试成绩很好|~顺利过了考试|~测验拿下了

i failed the exam|i did not pass the test|my exam result is bad|i flunked the examination|~the test went wrong for me|~my marks were too low to pass
我考试没通过|考试不及格|我没考过|考试成绩很差|~测验砸了|~分数太低没过关

how do i learn {language}|the best way to study {language}|i want to speak {language}|improve my {language}|tips for learning {language}|~become fluent in {language}|~how do beginners pick up {language}
怎么学{language}|学习{language}的最好方法|我想说{language}|提高{language}水平|~{language}怎么才能流利|~初学者如何入门{language}

translate this into {language}|what is this in {language}|put this text into {language}|give me the {language} version|~how would one say it in {language}|~render this sentence in {language}
把这个翻译成{language}|这个用{language}怎么说|译成{language}|给我{language}版本|~换成{language}该怎么讲|~请转成{language}

the water pipe is leaking|water drips from the tap|there is a leak in the bathroom|the tap is dripping|~the plumbing is not tight|~water runs out of a broken pipe
水管漏水了|水龙头滴水|卫生间漏水|管道渗水|~水管破了往外流水|~龙头关不紧

the power is out|there is no electricity|a power failure|the lights went out, no power|~we are sitting in the dark, the current is off|~blackout in our street
停电了|没有电|电力中断|灯灭了，没电|~家里断电一片漆黑|~我们这条街没电了

the internet is down|i have no network connection|i cannot get online|the wifi does not work|no internet access|~my device is offline|~websites do not load since the connection is gone
网断了|没有网络连接|上不了网|无线网不能用|~设备离线了|~网页加载不出来

a fire broke out in {place}|{place} is burning|{place} caught fire|there is a blaze at {place}|~{place} is in flames|~the fire brigade was called to {place}
{place}着火了|{place}发生火灾|{place}起火|{place}在燃烧|~{place}火光冲天|~消防员赶到{place}灭火

happy birthday|many happy returns|best wishes on your birthday|i wish you a happy birthday|~congratulations on turning a year older|~have a great birthday
生日快乐|祝你生日快乐|生日祝福|~恭喜你又长一岁|~寿辰快乐

what does this word mean|meaning of a word|explain this word|look up a word in the dictionary|~what is the sense of this term|~define the expression
这个词是什么意思|词的含义|解释这个单词|查词典|~这个词语怎么理解|~这个说法指什么

it is late, i am going to bed|good night|i am tired and want to sleep|time for bed|~i am off to sleep|~let me turn in
太晚了，我要睡了|晚安|我困了想睡觉|该上床了|~我去休息了|~洗洗睡吧

i got up early|i woke up at dawn|i rose before sunrise|i was up early in the morning|~i left my bed at first light|~i was awake very early
我起得很早|天亮就醒了|我一大早起床|清晨就起来了|~天刚亮我就下床了|~我很早便醒来
"""

SLOT_CLASSES = {"city": "city", "place": "place", "food": "dish", "device": "device", "illness": "illness", "person": "person",
                "animal": "animal", "sport": "sport", "country": "country", "thing": "clothing"}
DAYS = ["today=今天", "tomorrow=明天", "this weekend=这个周末,周末", "on monday=星期一,周一", "next week=下周,下星期", "tonight=今晚", "on friday=星期五,周五"]
NUMBERS = ["two=两", "three=三", "four=四", "five=五", "six=六", "eight=八", "ten=十"]
LANGUAGES = ["english=英语,英文", "chinese=中文,汉语", "french=法语", "german=德语", "japanese=日语,日文", "spanish=西班牙语", "russian=俄语", "korean=韩语"]


class Intent:
    def __init__(self, block: str):
        english, chinese, *answers = block.splitlines()
        self.phrasings = (split(english), split(chinese))
        self.answers = answers[0].removeprefix("answer:").split("|") if answers else []


INTENTS = [Intent(block) for table in (TABLE, intents_more.TABLE) for block in table.strip().split("\n\n")]
