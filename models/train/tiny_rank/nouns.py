"""Things to talk about, by class: English names, then Chinese names; names of one entry mean the same."""

from __future__ import annotations

# class, its names, entries `english,synonym=中文,同义词` separated by semicolons.
TABLE = """
fruit|fruit=水果,果子|apple=苹果;banana=香蕉;orange=橙子,橘子;grape=葡萄;pear=梨;peach=桃子;watermelon=西瓜;strawberry=草莓;mango=芒果;lemon=柠檬;cherry=樱桃;pineapple=菠萝,凤梨
vegetable|vegetable=蔬菜,青菜|tomato=西红柿,番茄;potato=土豆,马铃薯;carrot=胡萝卜;cabbage=白菜,卷心菜;onion=洋葱;cucumber=黄瓜;pumpkin=南瓜;mushroom=蘑菇;eggplant,aubergine=茄子;spinach=菠菜;corn,maize=玉米
dish|meal,dish=饭菜,菜肴|noodles,noodle=面条;rice=米饭;dumplings,dumpling=饺子;soup,broth=汤;bread,loaf=面包;cake=蛋糕;pizza=披萨,比萨;hamburger,burger=汉堡;salad=沙拉;hot pot=火锅;fried rice=炒饭;sandwich=三明治;steak=牛排;tofu,bean curd=豆腐;pancake=煎饼;cookie,biscuit=饼干;ice cream=冰淇淋,雪糕;chocolate=巧克力;sushi=寿司
drink|drink,beverage=饮料,饮品|coffee=咖啡;tea=茶,茶水;milk=牛奶;juice=果汁;beer=啤酒;wine=葡萄酒,红酒;water=水;soda=汽水
meat|meat=肉,肉类|beef=牛肉;pork=猪肉;chicken=鸡肉;fish=鱼;lamb,mutton=羊肉;egg=鸡蛋;shrimp,prawn=虾
animal|animal,creature=动物|cat,kitten,kitty=猫,小猫,猫咪;dog,puppy=狗,小狗,狗狗;rabbit,bunny=兔子;horse,pony=马;cow,cattle=牛,奶牛;pig=猪;sheep=羊,绵羊;bird=鸟,小鸟;tiger=老虎;lion=狮子;elephant=大象;monkey=猴子;panda=熊猫;bear=熊;snake=蛇;duck=鸭子;hen=母鸡;wolf=狼;fox=狐狸;mouse,rat=老鼠;parrot=鹦鹉;turtle,tortoise=乌龟;goldfish=金鱼;whale=鲸鱼;dolphin=海豚;bee=蜜蜂;butterfly=蝴蝶
plant|plant=植物|flower,blossom=花,花朵;tree=树,树木;rose=玫瑰;grass,lawn=草,草坪;bamboo=竹子;tulip=郁金香;pine=松树;leaf,leaves=叶子,树叶
vehicle|vehicle,transport=车辆,交通工具|car,automobile,auto=汽车,轿车,车子;bicycle,bike=自行车,单车;bus,coach=公交车,巴士;train,railway=火车,列车;plane,airplane,aircraft=飞机;ship,boat,vessel=船,轮船;motorcycle,motorbike=摩托车;taxi,cab=出租车,的士;subway,metro,underground=地铁;truck,lorry=卡车,货车;electric car=电动车,电动汽车
device|device,gadget=设备,电子产品|phone,mobile,smartphone,cellphone=手机,移动电话;computer,pc=电脑,计算机;laptop,notebook computer=笔记本电脑,手提电脑;tablet=平板,平板电脑;camera=相机,照相机;television,tv=电视,电视机;printer=打印机;keyboard=键盘;screen,monitor,display=屏幕,显示器;headphones,earphones=耳机;router=路由器;battery=电池;charger=充电器;speaker,loudspeaker=音箱,扬声器;projector=投影仪;graphics card,gpu=显卡;hard disk,hard drive=硬盘;robot=机器人;smart watch=智能手表;microphone=麦克风,话筒
appliance|appliance=家电,电器|fridge,refrigerator=冰箱;washing machine,washer=洗衣机;air conditioner=空调;oven=烤箱;microwave=微波炉;lamp,light=灯,电灯;heater=暖气,取暖器;fan=风扇,电扇;vacuum cleaner,hoover=吸尘器;kettle=水壶;dishwasher=洗碗机
clothing|clothes,clothing=衣服,衣物|shirt=衬衫,衬衣;coat,jacket=外套,大衣;shoes,shoe,sneakers=鞋,鞋子;hat,cap=帽子;trousers,pants=裤子,长裤;dress,gown=连衣裙,裙子;sweater,pullover=毛衣;gloves,glove=手套;scarf=围巾;socks,sock=袜子;glasses,spectacles=眼镜;umbrella=雨伞,伞;ring=戒指;wallet,purse=钱包;bag,handbag=包,手提包;suitcase,luggage,baggage=行李箱,行李;watch=手表
furniture|furniture=家具|table,desk=桌子,书桌;chair,seat=椅子;bed=床;sofa,couch=沙发;cupboard,cabinet=柜子,橱柜;shelf,bookcase=书架,架子;mirror=镜子;curtain=窗帘;carpet,rug=地毯;pillow=枕头;blanket,quilt=被子,毯子;door=门;window=窗户,窗子;wall=墙,墙壁;roof=屋顶;key=钥匙;clock=时钟,钟
place|place,location=地方,地点|hospital,clinic=医院,诊所;school=学校;university,college=大学,高校;restaurant,diner=餐厅,饭店,餐馆;hotel,inn=酒店,旅馆,宾馆;library=图书馆;bank=银行;supermarket,grocery store=超市;park=公园;museum=博物馆;airport=机场;train station,railway station=火车站;cinema,movie theater=电影院;pharmacy,drugstore,chemist=药店,药房;gym,fitness center=健身房;post office=邮局;bookstore,bookshop=书店;cafe,coffee shop=咖啡馆,咖啡店;market=市场,集市;beach,seaside=海滩,海边;mountain,hill=山,高山;river,stream=河,河流;lake=湖,湖泊;forest,woods=森林,树林;village,countryside=村庄,乡村;zoo=动物园;swimming pool=游泳池;church=教堂;temple=寺庙;bridge=桥,大桥;office=办公室;factory,plant works=工厂;farm=农场;kindergarten=幼儿园;parking lot,car park=停车场;police station=警察局,派出所;embassy=大使馆;kitchen=厨房;bathroom,toilet,restroom=卫生间,厕所;bedroom=卧室;garden,yard=花园,院子;stadium=体育场;shopping mall,shopping center=商场,购物中心
city|city,town=城市|beijing=北京;shanghai=上海;guangzhou=广州;shenzhen=深圳;hangzhou=杭州;chengdu=成都;paris=巴黎;london=伦敦;tokyo=东京;new york=纽约;berlin=柏林;rome=罗马;sydney=悉尼;moscow=莫斯科;singapore=新加坡;madrid=马德里;seoul=首尔;cairo=开罗;toronto=多伦多;hong kong=香港
country|country,nation=国家|china=中国;japan=日本;france=法国;germany=德国;italy=意大利;spain=西班牙;america,the united states,usa=美国;england,britain,the united kingdom=英国;russia=俄罗斯;india=印度;brazil=巴西;canada=加拿大;australia=澳大利亚;egypt=埃及;korea=韩国;mexico=墨西哥
person|person,people=人,人们|doctor,physician=医生,大夫;teacher,instructor=老师,教师;engineer=工程师;nurse=护士;student,pupil=学生;lawyer,attorney=律师;farmer=农民;driver=司机,驾驶员;cook,chef=厨师;policeman,police officer,cop=警察;scientist,researcher=科学家,研究人员;writer,author=作家,作者;singer=歌手;actor,actress=演员;manager,boss=经理,老板;customer,client=客户,顾客;child,kid=孩子,小孩;baby,infant=婴儿,宝宝;mother,mom=妈妈,母亲;father,dad=爸爸,父亲;friend,buddy,pal=朋友,好友;neighbour,neighbor=邻居;colleague,coworker=同事;husband=丈夫,老公;wife=妻子,老婆;grandmother,grandma=奶奶,外婆;grandfather,grandpa=爷爷,外公;brother=兄弟,哥哥;sister=姐妹,妹妹;artist,painter=画家,艺术家;athlete,sportsman=运动员;soldier=士兵,军人;judge=法官;tourist,traveller,visitor=游客,旅客;accountant=会计;secretary,assistant=秘书,助理;programmer,developer,coder=程序员,开发者
medicine|medicine,drug=药,药物|painkiller=止痛药;vaccine=疫苗;vitamin,vitamins=维生素;cold medicine=感冒药;bandage,plaster=绷带,创可贴;face mask=口罩;cough syrup=止咳糖浆;antibiotic=抗生素
illness|illness,disease,sickness=病,疾病|headache=头痛,头疼;fever,high temperature=发烧,发热;cold,flu=感冒,流感;cough=咳嗽;toothache=牙痛,牙疼;stomach ache,stomachache=胃痛,肚子疼;insomnia,sleeplessness=失眠;allergy=过敏;diabetes=糖尿病;cancer=癌症;high blood pressure,hypertension=高血压;sore throat=嗓子疼,喉咙痛;back pain,backache=背痛,腰疼;depression=抑郁症,抑郁;broken bone,fracture=骨折;heart disease=心脏病
software|software,program=软件,程序|app,application=应用,应用程序;website,web page,site=网站,网页;database=数据库;operating system=操作系统;browser=浏览器;spreadsheet=表格,电子表格;search engine=搜索引擎;server=服务器;code,source code=代码,源代码;function,method=函数,方法;bug,error,defect=错误,缺陷,漏洞;api,interface=接口;algorithm=算法;virus,malware=病毒,恶意软件;game,video game=游戏,电子游戏;password=密码,口令;email,mail,e-mail=邮件,电子邮件;file,document=文件,文档;folder,directory=文件夹,目录;photo,picture,image=照片,图片,图像;video,clip=视频,录像;link,url=链接,网址;backup=备份;network,internet=网络,互联网;cloud=云,云端;python=python;rust=rust;java=java;programming language=编程语言;test,unit test=测试,单元测试;log,logs=日志;array,list=数组,列表;loop=循环;variable=变量;compiler=编译器
ai|artificial intelligence,ai=人工智能|language model,llm=语言模型,大模型;embedding,vector=向量,嵌入;chatbot,chat robot=聊天机器人;neural network=神经网络;machine learning=机器学习;deep learning=深度学习;dataset,data set,training data=数据集,训练数据;token,tokens=词元;prompt=提示词;speech recognition=语音识别;image generation=图像生成;translation=翻译;fine-tuning,finetuning=微调;inference=推理;model=模型
service|service=服务|api key,access key=密钥,接口密钥;account=账号,账户;invoice,bill=发票,账单;balance,credit=余额;subscription,membership=订阅,会员;refund=退款;order=订单;discount,coupon=折扣,优惠券;delivery,shipment,parcel,package=快递,包裹;price,cost=价格,费用;rate limit=速率限制,限流;quota=配额,额度;customer service,customer support=客服,客户服务;receipt=收据,小票;user name,username=用户名;verification code=验证码;warranty,guarantee=保修,质保;contract,agreement=合同,协议
finance|money,finance=钱,金融|stock,shares=股票;fund,mutual fund=基金;loan,credit loan=贷款;insurance=保险;salary,wage,pay=工资,薪水;tax,taxes=税,税款;interest rate=利率;mortgage=房贷,按揭;credit card=信用卡;savings,deposit=存款,储蓄;pension=养老金,退休金;exchange rate=汇率;investment=投资;debt=债务,欠款;budget=预算;house price,housing price=房价;rent=房租,租金;inflation=通货膨胀;bitcoin,cryptocurrency=比特币,加密货币;gold=黄金
study|study,learning=学习|book,novel=书,小说,书籍;exam,examination=考试;homework,assignment=作业;mathematics,math,maths=数学;english=英语,英文;chinese=中文,汉语;history=历史;physics=物理;chemistry=化学;biology=生物;course,class,lesson=课程,课;essay,article,paper=文章,论文;dictionary=词典,字典;newspaper=报纸;magazine=杂志;poem,poetry=诗,诗歌;story,tale=故事;pencil,pen=铅笔,笔;geography=地理;scholarship=奖学金;degree,diploma=学位,文凭;word,vocabulary=单词,词汇;language=语言
sport|sport=运动,体育|football,soccer=足球;basketball=篮球;tennis=网球;swimming=游泳;running,jogging=跑步,慢跑;yoga=瑜伽;badminton=羽毛球;table tennis,ping pong=乒乓球;skiing=滑雪;cycling=骑车,骑行;hiking=徒步,远足;boxing=拳击;golf=高尔夫;chess=象棋,国际象棋;marathon=马拉松;dancing,dance=舞蹈,跳舞;fishing=钓鱼;climbing=攀岩,登山
art|art=艺术|music=音乐;song=歌,歌曲;film,movie=电影,影片;painting,drawing=画,绘画;guitar=吉他;piano=钢琴;concert=音乐会,演唱会;opera=歌剧;play,drama=话剧,戏剧;violin=小提琴;cartoon,animation=动画片,动漫;photography=摄影;calligraphy=书法;sculpture,statue=雕塑,雕像;tv series,soap opera=电视剧,连续剧
nature|nature=自然|sun=太阳;moon=月亮,月球;star=星星;sea,ocean=大海,海洋;sky=天空;rain=雨;snow=雪;wind=风;cloud in the sky=云朵;earthquake=地震;typhoon,hurricane,storm=台风,暴风雨;flood=洪水,水灾;fire,blaze=火,火灾;desert=沙漠;island=岛,岛屿;volcano=火山;rainbow=彩虹;fog,mist=雾;planet=行星;the earth=地球;climate=气候;air pollution,smog=空气污染,雾霾;thunder,lightning=雷电,闪电
event|event=活动,事件|meeting,conference=会议;party=聚会,派对;wedding,marriage=婚礼,结婚;birthday=生日;holiday,vacation=假期,假日;trip,journey,travel=旅行,旅游;interview=面试;appointment,reservation,booking=预约,预订;spring festival,chinese new year=春节,过年;christmas=圣诞节;accident,crash=事故,车祸;election,vote=选举,投票;war=战争;match,competition,contest=比赛,竞赛;exhibition,show=展览,展会;project=项目,工程;plan,schedule=计划,日程;report=报告;job,work=工作;ticket=票,车票;flight=航班;visa=签证;passport=护照;gift,present=礼物;traffic jam,congestion=堵车,交通拥堵;graduation=毕业;tour guide=导游;map=地图;strike=罢工;crime=犯罪;law=法律;government=政府;dream=梦,梦想;weather=天气
home|household=家务,家居|house,home=房子,家;apartment,flat=公寓,住房;room=房间;garbage,trash,rubbish=垃圾;laundry=脏衣服;dishes,plates=碗,盘子;knife=刀,刀子;cup,mug,glass=杯子;bottle=瓶子;toy=玩具;soap=肥皂,香皂;toothbrush=牙刷;towel=毛巾;candle=蜡烛;box=盒子,箱子;electricity,power=电,电力;gas=煤气,燃气;furniture polish=家具蜡;stairs,staircase=楼梯;elevator,lift=电梯
material|material=材料|wood,timber=木头,木材;iron,steel=铁,钢铁;plastic=塑料;paper sheet=纸,纸张;stone,rock=石头;silk=丝绸;cotton=棉花;oil,petrol,gasoline=油,汽油;salt=盐;sugar=糖;flour=面粉;pepper,chili=辣椒;honey=蜂蜜;butter=黄油;cheese=奶酪;silver=银子;diamond=钻石
body|body=身体|eye,eyes=眼睛;hand,hands=手;leg,legs=腿;hair=头发;skin=皮肤;heart=心脏;tooth,teeth=牙齿;brain=大脑;weight=体重;muscle,muscles=肌肉;blood=血液,血;stomach,belly=胃,肚子;ear,ears=耳朵;nose=鼻子;bone,bones=骨头
"""


class Entry:
    """A meaning with its names in both languages."""

    def __init__(self, text: str, kind: str):
        english, chinese = text.split("=")
        self.english, self.chinese, self.kind = english.split(","), chinese.split(","), kind

    def names(self, chinese: bool) -> list[str]:
        return self.chinese if chinese else self.english


CLASSES: dict[str, Entry] = {}
NOUNS: dict[str, list[Entry]] = {}
for line in TABLE.strip().splitlines():
    kind, name, entries = line.split("|")
    CLASSES[kind] = Entry(name, kind)
    NOUNS[kind] = [Entry(entry, kind) for entry in entries.split(";")]
