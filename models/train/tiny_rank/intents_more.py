"""More whole sentences by what they mean; the form is that of intents.py."""

TABLE = """
the printer is out of paper|no paper is left in the printer|please refill the paper tray|the printer needs more sheets|~load the printer, its tray is empty|~nothing prints as paper has run out
打印机没纸了|打印机缺纸|请给打印机加纸|纸盒空了要加纸|~打印机里的纸用光了|~打不出来，该添纸了

how do i undo the last commit|revert my latest commit in git|go back to the previous commit|remove the most recent commit|~take back what i just committed|~roll git back by one commit
怎么撤销上一次提交|在git里回退最近的提交|回到前一个提交|删除最新的commit|~把刚提交的改动撤回|~让git退回一步

the database query is slow|my sql statement takes too long|how can i speed up a query|slow database access|~the select runs for minutes|~how do i tune a lagging sql query
数据库查询很慢|sql语句执行时间太长|怎么加快查询|数据库访问慢|~这条select跑了好几分钟|~怎样优化拖慢的sql

the graphics card runs out of memory|not enough gpu memory|out of memory on the gpu|cuda memory error|~the model does not fit into video memory|~my card lacks memory for the model
显卡内存不足|gpu显存不够|显存溢出|cuda内存错误|~模型放不进显存|~显卡装不下这个模型

how do i fine-tune a model|train a model on my own data|adapt a model to my texts|start a fine-tuning job|~customise a model with my examples|~teach an existing model my data
怎么微调模型|用自己的数据训练模型|让模型适应我的文本|启动微调任务|~拿我的样本定制模型|~让现有模型学我的数据

how do i make an image from text|generate a picture from a description|create images with a prompt|text to image generation|~draw what i describe in words|~turn a sentence into a picture
怎么用文字生成图片|根据描述生成图像|用提示词画图|文生图|~把我说的画出来|~一句话变成一张图

turn speech into text|transcribe an audio file|how do i recognize speech|write down what is said in a recording|~convert a voice memo to writing|~get a transcript of the audio
语音转文字|转写音频文件|怎么做语音识别|把录音里说的话写下来|~将语音备忘变成文字|~拿到录音的文本

read this text aloud|turn text into speech|make a voice say this|text to speech|~speak these words for me|~produce audio from written text
朗读这段文字|文字转语音|用声音说出这句话|语音合成|~把这些字念出来|~从文本得到音频

how do i rank documents by relevance|reorder search results for a query|which endpoint reranks documents|sort texts by how well they fit a question|~put the most fitting passages on top|~order hits by their relevance
怎么按相关性给文档排序|对搜索结果重新排序|哪个接口做重排|按照与问题的匹配程度排列文本|~把最合适的段落放到最前|~让命中结果按相关度排列

how do i measure how similar two texts are|compare two sentences by meaning|similarity of two texts|compute the distance between two embeddings|~find out if two sentences say the same|~closeness of texts in meaning
怎么衡量两段文本有多相似|比较两个句子的意思|文本相似度|计算两个向量的距离|~判断两句话说的是不是一回事|~文本在语义上有多接近

the server does not answer|no response from the server|the server is down|connection to the server timed out|~the host cannot be reached|~my request to the server hangs
服务器没有响应|服务器不回应|服务器宕机了|连接服务器超时|~主机连不上|~发给服务器的请求卡住了

i get a not found error|the page does not exist|error 404|the address was not found|~there is nothing at this link|~the requested page is missing
返回404错误|页面不存在|找不到网页|地址没有找到|~这个链接什么也没有|~请求的页面缺失

my key is invalid|the api key is not accepted|error 401 unauthorized|authentication failed|~the server rejects my credentials|~my access token is wrong
我的密钥无效|api key不被接受|401未授权错误|认证失败|~服务器不认我的凭证|~令牌不对

how much does a call cost|price per token|what do you charge for a request|how is usage billed|~how are tokens paid for|~what will one request cost me
调用一次多少钱|每个词元的价格|请求怎么收费|用量如何计费|~词元按什么付费|~发一次请求要花多少

delete my account|i want to close my account|how do i remove my profile|cancel my registration|~wipe all my user data and sign me off|~i no longer want to be a user
注销账号|我想关闭账户|怎么删除我的资料|取消注册|~清除我的用户数据|~我不想再当用户了

send me an invoice|i need a bill for my payment|where can i download invoices|get a receipt for the company|~issue a paper for what i paid|~our bookkeeping wants a bill
给我开发票|我付款需要账单|在哪里下载发票|给公司开收据|~为我的付款出具票据|~财务要报销凭证

transfer money to {person}|send money to the account of {person}|how do i pay {person} by bank transfer|remit a sum to {person}|~wire {person} some cash|~move money over to {person}
给{person}转账|把钱汇到{person}的账户|怎么通过银行付款给{person}|向{person}汇款|~打钱给{person}|~把一笔钱转给{person}

i want to open a bank account|how do i open an account at the bank|get a new bank account|set up a savings account|~become a customer of a bank|~what do i need for a bank account
我想开银行账户|怎么在银行开户|新开一个银行账号|开储蓄账户|~成为银行的客户|~开户要带什么

i lost my credit card|block my card please|my bank card is gone, lock it|my credit card was stolen|~please freeze my card at once|~somebody has my card, stop it
信用卡丢了|请挂失我的卡|银行卡不见了，冻结它|信用卡被盗|~马上把我的卡停掉|~有人拿了我的卡，锁住

i want to check in to the hotel|we have a room reserved, check in please|i would like to get my hotel room|arriving at the hotel|~our booking is here, may we have the key|~please register us as guests
我要办理入住|我们订了房间，请办入住|我想拿酒店房间|到酒店登记|~我们有预订，请给钥匙|~麻烦登记我们住店

is breakfast included|does the room price include breakfast|do we get breakfast at the hotel|breakfast with the room|~is the morning meal part of the rate|~must i pay extra for breakfast
含早餐吗|房价包括早餐吗|酒店提供早餐吗|住房带早饭吗|~早饭算在房费里吗|~吃早餐要另付钱吗

my luggage did not arrive|the airline lost my suitcase|my bags are missing after the flight|where is my baggage|~my suitcase never came off the plane|~luggage went missing on the trip
我的行李没到|航空公司弄丢了我的箱子|下飞机后行李不见了|我的行李在哪|~箱子一直没出来|~途中行李失踪

i lost my passport|my passport is missing, what should i do|how do i replace a lost passport|passport lost abroad|~i am without my travel document|~where can i get another passport
护照丢了|护照不见了怎么办|如何补办护照|在国外丢了护照|~旅行证件没了|~到哪能再办一本护照

call an ambulance|we need an ambulance at once|emergency, someone is hurt|get medical help quickly|~a person is injured, hurry with help|~rush a doctor to us
叫救护车|马上需要救护车|紧急情况，有人受伤|快找医疗救助|~这里有伤员，快来救人|~赶紧派医生来

call the police|i want to report a crime|we need the police here|please send officers|~inform the authorities about a crime|~dial the number of the police
报警|我要举报犯罪|这里需要警察|请派警察来|~向警方通报案情|~拨打报警电话

she had a baby|a child was born|my sister gave birth to a son|they have a newborn|~their family has a new infant|~she became a mother
她生孩子了|孩子出生了|我姐姐生了个儿子|他们有了新生儿|~家里添了个宝宝|~她当妈妈了

they are getting married|the wedding is next month|the couple will marry soon|we are invited to a wedding|~the two will become husband and wife|~the bride and groom set a date
他们要结婚了|婚礼在下个月|这对情侣快结婚|我们受邀参加婚礼|~两人将结为夫妻|~新郎新娘定了日子

my grandfather died|grandpa has passed away|we lost our grandfather|the death of my grandfather|~grandpa is no longer with us|~we mourn grandpa
我爷爷去世了|外公过世了|我们失去了祖父|爷爷走了|~老人家离开人世|~我们悼念爷爷

the wind is strong today|it is very windy|a strong wind blows|what a stormy day|~gusts shake the trees|~hold on to your hat, it blows hard
今天风很大|刮大风|大风天气|风刮得厉害|~狂风吹得树直晃|~风大得帽子都要飞了

it is snowing outside|snow is falling|the ground is covered with snow|heavy snow today|~everything turned white, flakes come down|~we woke up to a snowy morning
外面下雪了|正在下雪|地上盖满了雪|今天大雪|~一片雪白，雪花飘落|~早上醒来雪纷纷

there was an earthquake in {country}|an earthquake shook {country}|{country} was hit by an earthquake|strong quake in {country}|~the ground trembled in {country}|~tremors were felt across {country}
{country}发生地震|地震袭击了{country}|{country}地震了|{country}出现强震|~{country}大地晃动|~{country}各地有震感

{country} won the world cup|the team of {country} became world champion|{country} is the champion|victory of {country} at the world cup|~the trophy goes to {country}|~the world title belongs to {country}
{country}赢得世界杯|{country}队成了世界冠军|{country}夺冠|{country}在世界杯获胜|~奖杯归{country}|~世界冠军头衔属于{country}

the president of {country} visited {city}|the leader of {country} travelled to {city}|{country}'s president came to {city}|~the head of {country} is a guest in {city}|~a state visit to {city} by the leader of {country}
{country}总统访问{city}|{country}领导人前往{city}|{country}总统来到{city}|~{country}元首在{city}做客|~{country}首脑对{city}进行国事访问

tickets for the {sport} match are sold out|no tickets left for the {sport} game|all {sport} tickets have been sold|~one can no longer buy seats for {sport}|~the {sport} event is fully booked
{sport}比赛的票卖完了|{sport}赛没有票了|{sport}门票全部售出|~{sport}的座位买不到了|~{sport}赛事一票难求

i would like to try the {thing} on in another size|do you have this {thing} in a bigger size|the {thing} is too small|this {thing} does not fit me|~the {thing} is tight, bring me a larger one|~my {thing} should be a size up
这件{thing}有大一号吗|{thing}太小了|这个{thing}不合身|{thing}能换大号吗|~{thing}紧了，拿个大的|~{thing}要再大一码

the neighbours make noise|the people next door are loud|my neighbour plays loud music|noise from next door|~i am disturbed by the folks beside us|~they never keep quiet next door
邻居很吵|隔壁的人声音很大|邻居放很响的音乐|隔壁有噪音|~旁边那家老打扰人|~隔壁从不安静

we are moving to a new house|i am changing my apartment|we move house next month|our family relocates|~soon we will have a different home|~we pack boxes for the new flat
我们要搬家了|我换公寓|下个月搬新家|全家搬迁|~很快就住到别处了|~我们在打包准备去新房

i need to fill up the car|where is a petrol station|the car is out of fuel|i have to get gas|~the tank is nearly empty|~find somewhere to refuel
车要加油了|加油站在哪|汽车没油了|我得去加油|~油箱快空了|~找个地方给车加油

may i park here|is parking allowed here|where can i leave the car|parking space nearby|~am i permitted to put my car at this spot|~is there room for my car
这里可以停车吗|允许停车吗|车能停在哪里|附近有车位吗|~我的车放这儿行不行|~有没有地方搁车

my {animal} is sick|the {animal} needs a vet|take the {animal} to the animal doctor|my {animal} is not well|~something ails my {animal}|~who can examine my {animal}
我的{animal}病了|{animal}要看兽医|带{animal}去宠物医院|{animal}不舒服|~{animal}没精神像是生病|~谁能给{animal}检查一下

the plants need water|water the flowers please|the flowers are dry|do not forget to water the garden|~give the plants something to drink|~the pots have dried out
植物该浇水了|请给花浇水|花干了|别忘了给花园浇水|~给绿植喝点水|~花盆都干透了

the room must be cleaned|please tidy up the room|my room is a mess|clean up this room|~put the room in order|~everything lies around, clear it away
房间该打扫了|请收拾房间|我的房间很乱|把这个屋子弄干净|~把房间整理好|~东西到处乱放，清一清

dinner is ready|come and eat|the food is on the table|the meal is served|~sit down, supper waits|~your plate is filled, come
晚饭好了|来吃饭|饭菜上桌了|开饭了|~坐下吧，饭等着呢|~碗里盛好了，快来

the {food} is too salty|there is too much salt in the {food}|who put so much salt in the {food}|~the {food} tastes like sea water|~less salt would suit the {food}
{food}太咸了|{food}里盐放多了|谁把{food}做这么咸|~{food}跟海水似的|~{food}少放点盐才好

i am allergic to {animal} hair|{animal} fur makes me sneeze|i have an allergy to the {animal}|~being near a {animal} gives me a rash|~i cannot be around a {animal} due to allergy
我对{animal}毛过敏|{animal}的毛让我打喷嚏|我有{animal}过敏症|~靠近{animal}就起疹子|~因为过敏不能碰{animal}

when is the exam|date of the examination|what day do we have the test|when does the exam take place|~on which day will we be tested|~how many days until the exam
考试是什么时候|考试日期|哪天考试|考试什么时候进行|~我们要在哪一天考|~离考试还有几天

explain this to me in simple words|i do not understand, make it simpler|say it so that a child understands|give an easy explanation|~put that in plain terms|~i am lost, break it down for me
用简单的话解释给我听|我不懂，说简单点|讲得让小孩也能懂|给个容易的解释|~用大白话讲讲|~听糊涂了，拆开说

tell me a joke|make me laugh|do you know something funny|say something humorous|~cheer me up with a gag|~i could use a good laugh
讲个笑话|逗我笑|你知道什么好笑的吗|说点幽默的|~来个段子乐一乐|~让我开怀一下

write a poem about {animal}|make up some verses on a {animal}|a poem on the {animal}|compose a poem for my {animal}|~rhyme something about a {animal}|~put a {animal} into verse
写一首关于{animal}的诗|作几句{animal}的诗|{animal}的诗歌|为我的{animal}写诗|~用诗来写{animal}|~给{animal}押韵写几行

summarize this article|give me a summary of the text|shorten the text to its main points|what is the article about in brief|~boil this text down|~the gist of this article
总结这篇文章|给我这段文字的摘要|把文本缩短成要点|文章大意是什么|~浓缩一下这个文本|~文章的核心内容

is there life on other planets|do aliens exist|are we alone in the universe|life in space|~could somebody live out there among the stars|~is anybody else in the cosmos
其他星球有生命吗|外星人存在吗|宇宙中只有我们吗|太空里的生命|~星星之间会有别人吗|~宇宙里还有没有别的生灵

how high is the highest mountain|what is the tallest mountain in the world|height of mount everest|the highest peak on earth|~which summit rises above all others|~how tall is everest
最高的山有多高|世界最高峰是哪座|珠穆朗玛峰的高度|地球上最高的山|~哪座山峰高过其他所有|~珠峰几米

which animal is the fastest|what is the fastest animal in the world|the quickest creature on land|~no other beast runs like it, which one is it|~who is the speed champion of the animals
哪种动物跑得最快|世界上最快的动物|陆地上速度最快的动物|~动物界的速度冠军是谁|~什么兽跑起来无人能及

the price of {food} went up|{food} has become more expensive|{food} costs more than before|~one pays more for {food} these days|~{food} is dearer now
{food}涨价了|{food}变贵了|{food}比以前贵|~现在买{food}要多付钱|~{food}价钱往上走

{person} speaks very good {language}|{person} is fluent in {language}|the {language} of {person} is excellent|~{person} masters {language}|~talking {language} is no trouble for {person}
{person}的{language}很好|{person}{language}流利|{person}{language}说得很棒|~{person}精通{language}|~{person}讲{language}毫不费力
"""
