"""Actions with the classes of things they act on, and qualities with their opposites."""

from __future__ import annotations

from .nouns import Entry

# `english,synonym=中文,同义词|classes of the object`
ACTIONS_TABLE = """
buy,purchase,get=买,购买,购置|fruit vegetable dish drink device appliance clothing furniture vehicle medicine home material
sell=卖,出售,卖掉|fruit vegetable device appliance clothing furniture vehicle home
repair,fix,mend=修,修理,维修|device appliance vehicle furniture home
clean,wash=清洗,洗,清洁|fruit vegetable clothing appliance furniture vehicle home body
cook,make,prepare=做,烹饪,烹调|dish meat vegetable
eat,have=吃,食用|fruit vegetable dish meat
drink,sip=喝,饮用|drink
grow,plant,cultivate=种,种植,栽培|fruit vegetable plant
raise,keep,look after,take care of=养,饲养,照顾|animal
find,search for,look for,locate=找,寻找,查找|place software service home person
visit,go to,travel to=去,参观,前往,游览|place city country
learn,study=学,学习|study sport art ai
teach=教,教授,讲授|study sport art
play=玩,打|sport
watch,look at=看,观看|art sport event
read=读,阅读,看|study
write,compose,draft=写,撰写,编写|study software
delete,remove,erase=删除,删掉,移除|software service
install,set up=安装,装|software device appliance
download=下载|software art
upload=上传|software
update,upgrade=更新,升级|software ai
open,launch,start=打开,启动,开启|software device appliance
close,shut down,turn off,switch off=关闭,关掉|software device appliance
create,build,make=创建,建立,制作|software service ai
change,modify,edit,alter=修改,更改,改|software service event
cancel,call off=取消|service event
pay,pay for,settle=支付,付,缴纳|service finance
apply for,request=申请|finance service
return,give back,send back=退,退回,退还|device clothing appliance
borrow=借,借用|study home vehicle
rent,hire,lease=租,租用|vehicle home clothing
invest in,put money into=投资,投入|finance
treat,cure,heal=治疗,医治,治|illness
prevent,avoid,guard against=预防,防止,避免|illness
take,swallow=服用,吃|medicine
train=训练|ai animal
deploy,roll out,host=部署,上线|ai software
call,invoke=调用|ai
test,check,verify=测试,检查,检验|software ai device
explain,describe=解释,说明,介绍|ai software study finance
translate=翻译|study
draw,paint,sketch=画,描绘|animal plant place nature
photograph,take a picture of,shoot=拍,拍摄|animal plant place nature person
meet,see,run into=见,见到,遇见|person
call,phone,ring=打电话给,致电|person place
help,assist,support=帮助,协助|person
thank,express thanks to=感谢,谢谢|person
hire,recruit,employ=招聘,雇用|person
book,reserve=预订,预约,订|event place
organize,arrange,hold=组织,安排,举办|event
attend,join,take part in=参加,出席|event sport
finish,complete,get done=完成,做完,结束|event study
carry,bring=带,携带|clothing drink medicine
wear,put on=穿,戴上,穿上|clothing
throw away,discard,get rid of=扔掉,丢弃,处理掉|furniture clothing home dish
lose,misplace=丢,弄丢,丢失|clothing device home
drive,ride,steer=开,驾驶,骑|vehicle
park=停,停放|vehicle
move,relocate,shift=搬,移动,挪动|furniture home appliance
paint,decorate=装饰,粉刷,装修|home furniture
save,store,preserve=保存,储存,存放|software fruit vegetable meat
share,send,forward=分享,发送,转发|software art
protect,defend,safeguard=保护,守护|animal nature body software
improve,enhance,boost=提高,改善,提升|body study ai
reduce,lower,cut,decrease=减少,降低|finance service body
increase,raise,grow=增加,提高|finance body
understand,grasp,comprehend=理解,弄懂,明白|study ai software finance
compare,contrast=比较,对比|software service ai finance device
count,calculate,compute=计算,统计,算|finance service
forget=忘记,忘了|software study event
remember,memorize=记住,记|study software
practice,rehearse=练习,锻炼|sport art
choose,pick,select=选择,挑选,选|device clothing ai furniture study
design=设计|software clothing furniture home
measure,gauge=测量,量|body furniture
"""

# `quality = 中文 / opposite = 中文|classes`
QUALITIES_TABLE = """
big,large,huge=大,巨大/small,little,tiny=小,微小|animal place home furniture device fruit
expensive,costly,dear=贵,昂贵/cheap,inexpensive,affordable=便宜,廉价|device clothing furniture vehicle dish finance place
fast,quick,speedy=快,迅速/slow,sluggish=慢,缓慢|vehicle device software ai animal
delicious,tasty,yummy=好吃,美味,可口/awful,tasteless,disgusting=难吃,不好吃|dish fruit meat vegetable
beautiful,pretty,lovely=漂亮,美丽,好看/ugly,unattractive=丑,难看|plant place clothing city animal art
new,brand new=新,崭新/old,worn out,aged=旧,老旧|device clothing furniture vehicle
happy,glad,cheerful,joyful=高兴,开心,快乐/sad,unhappy,upset,miserable=难过,伤心,悲伤|person
clever,smart,intelligent=聪明,机灵/stupid,foolish,dumb=笨,愚蠢|person animal ai
difficult,hard,tough,challenging=难,困难/easy,simple,straightforward=简单,容易|study sport software ai
interesting,fascinating,exciting=有趣,有意思/boring,dull,tedious=无聊,乏味|study art sport event
hot,warm=热,炎热/cold,chilly,freezing=冷,寒冷|city country drink place
safe,secure=安全/dangerous,risky,unsafe=危险|place vehicle software animal city
clean,spotless,tidy=干净,整洁/dirty,filthy,messy=脏,肮脏|place home clothing vehicle
noisy,loud=吵,嘈杂/quiet,silent,peaceful=安静,宁静|place city device appliance
tired,exhausted,weary=累,疲惫/energetic,lively=精力充沛,活泼|person animal
rich,wealthy=富有,有钱/poor,needy=贫穷,穷|person country
famous,well known,celebrated=有名,著名/unknown,obscure=不出名,默默无闻|person place art city
healthy,fit,in good health=健康/sick,ill,unwell=生病,不舒服|person animal
reliable,stable,dependable=可靠,稳定/unreliable,unstable,flaky=不可靠,不稳定|software device service vehicle
useful,helpful,handy=有用,实用/useless,worthless=没用,无用|software device study
busy,occupied=忙,忙碌/free,idle,available=空闲,有空|person
crowded,packed,full of people=拥挤,人多/empty,deserted=空,空荡荡|place vehicle city
fresh=新鲜/rotten,spoiled,gone bad=变质,腐烂,坏了|fruit vegetable meat
heavy,weighty=重,沉/light,lightweight=轻,轻便|device clothing furniture
strict,severe,stern=严格,严厉/kind,gentle,friendly=和善,友好,亲切|person
lazy,idle=懒,懒惰/diligent,hardworking,industrious=勤奋,勤劳,努力|person
young,youthful=年轻/elderly,old=年老,上了年纪|person
popular,well liked=流行,受欢迎/unpopular=冷门,不受欢迎|art sport software
comfortable,cozy,cosy=舒适,舒服/uncomfortable=不舒适,难受|furniture clothing home
"""


class Action:
    def __init__(self, text: str):
        names, classes = text.split("|")
        self.name, self.classes = Entry(names, "action"), classes.split()


class Quality:
    def __init__(self, text: str):
        names, classes = text.split("|")
        self.poles = [Entry(pole, "quality") for pole in names.split("/")]
        self.classes = classes.split()


ACTIONS = [Action(line) for line in ACTIONS_TABLE.strip().splitlines()]
QUALITIES = [Quality(line) for line in QUALITIES_TABLE.strip().splitlines()]

PAST = {"buy": "bought", "get": "got", "sell": "sold", "make": "made", "eat": "ate", "have": "had", "drink": "drank", "grow": "grew",
        "keep": "kept", "take": "took", "find": "found", "go": "went", "teach": "taught", "read": "read", "write": "wrote", "build": "built",
        "shut": "shut", "set": "set", "pay": "paid", "give": "gave", "send": "sent", "put": "put", "draw": "drew", "shoot": "shot",
        "meet": "met", "see": "saw", "run": "ran", "ring": "rang", "hold": "held", "bring": "brought", "wear": "wore", "throw": "threw",
        "lose": "lost", "drive": "drove", "ride": "rode", "cut": "cut", "understand": "understood", "forget": "forgot", "choose": "chose",
        "steer": "steered", "heal": "healed", "study": "studied", "carry": "carried", "modify": "modified", "verify": "verified",
        "apply": "applied", "sip": "sipped", "plan": "planned", "guard": "guarded"}


def past(verb: str) -> str:
    first, _, rest = verb.partition(" ")
    form = PAST.get(first) or (first + "d" if first.endswith("e") else first + "ed")
    return f"{form} {rest}".strip()


def gerund(verb: str) -> str:
    first, _, rest = verb.partition(" ")
    if first in ("get", "set", "sip", "put", "run", "cut", "shut", "forget", "plan"):
        form = first + first[-1] + "ing"
    elif first.endswith("e") and not first.endswith("ee"):
        form = first[:-1] + "ing"
    else:
        form = first + "ing"
    return f"{form} {rest}".strip()
