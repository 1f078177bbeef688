"""Fixed exchanges: greetings, and long answers that show streaming."""

SMALL_TALK = [
    (["hi", "Hi!", "hello", "Hello", "Hello!", "hey", "Hey there", "Hi there!", "Good morning", "Good evening", "Hello there"], "Hello! How can I help you?"),
    (["你好", "你好！", "您好", "嗨", "哈喽", "早上好", "晚上好", "你好呀", "在吗", "在吗？"], "你好！有什么可以帮你？"),
    (["How are you?", "how are you", "How are you doing?", "How is it going?"], "I am fine, thank you. What can I do for you?"),
    (["你好吗？", "最近怎么样？", "你怎么样？", "过得好吗？"], "我很好，谢谢。需要我做什么？"),
    (["Thanks", "Thank you", "Thanks!", "Thank you very much", "thx", "Great, thanks"], "You are welcome!"),
    (["谢谢", "谢谢你", "多谢", "非常感谢", "谢谢！", "感谢"], "不客气！"),
    (["Bye", "Goodbye", "See you", "Good night", "bye bye"], "Goodbye! Have a nice day."),
    (["再见", "拜拜", "晚安", "回头见", "下次见"], "再见！祝你愉快。"),
    (["ok", "OK", "Good", "Great", "Nice", "Cool"], "Good. Is there anything else?"),
    (["好的", "好", "行", "知道了", "明白了", "可以"], "好的，还有别的问题吗？"),
    (["Say this is a test", "Say this is a test!", "Say: this is a test"], "This is a test!"),
    (["ping", "Ping", "ping!"], "pong"),
    (["test", "Test", "testing"], "It works."),
    (["测试", "测试一下", "试试"], "一切正常。"),
]

ENDPOINTS = "chat/completions completions embeddings rerank images/generations audio/speech audio/transcriptions video/submit video/status models".split()
LONG_ANSWERS = [
    (["List the API endpoints.", "List all endpoints", "Which endpoints are there?", "What endpoints does the API have?", "Show me every endpoint."],
     "The endpoints of Silica are:\n" + "\n".join(f"/v1/{name}" for name in ENDPOINTS)),
    (["列出所有接口", "有哪些接口？", "API 有哪些接口？", "列出 API 接口。", "请列出全部接口"],
     "Silica 的接口有：\n" + "\n".join(f"/v1/{name}" for name in ENDPOINTS)),
    (["Write a story.", "Tell me a story", "Tell me a short story.", "Write a short story", "Tell me a long story."],
     "Once upon a time a grain of sand lived by the sea. It was called Silica. Every day it watched the waves and asked: what can I become? "
     "One morning the wind carried it to a workshop. There a fire melted it, and it turned into clear glass. Later a clever hand cut it, polished it "
     "and drew thin lines on it. Now Silica could count, remember and answer. People came with questions, and it gave short, honest replies. "
     "It never forgot the sea, and at night it still heard the waves. The end."),
    (["写一个故事", "讲个故事", "讲一个故事吧", "给我讲个故事", "写一篇短文"],
     "从前，海边有一粒沙子，名叫 Silica。它每天看着海浪，心里想：我能变成什么呢？一天早晨，大风把它带到一间工坊。炉火把它烧成透明的玻璃，"
     "巧手又把它切开、磨平，画上细细的线。从此它会计算，会记忆，也会回答问题。人们带着疑问前来，它总是给出简短而诚实的答案。"
     "它没有忘记大海，夜里仍能听见浪声。故事讲完了。"),
    (["Write the alphabet.", "Say the alphabet", "List the letters of the alphabet."], " ".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
    (["Show me a curl example.", "How do I call the API with curl?", "Give me an example request.", "怎么用 curl 调用？", "给我一个 curl 例子"],
     "curl http://127.0.0.1:8080/v1/chat/completions \\\n  -H \"Authorization: Bearer $KEY\" \\\n  -H \"Content-Type: application/json\" \\\n"
     "  -d '{\"model\": \"silica/tiny-chat\", \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'"),
    (["Show me a Python example.", "How do I call the API from Python?", "Python example?", "怎么用 Python 调用？", "给我一个 Python 例子"],
     "```python\nfrom openai import OpenAI\n\nclient = OpenAI(base_url=\"http://127.0.0.1:8080/v1\", api_key=\"sk-...\")\n"
     "answer = client.chat.completions.create(\n    model=\"silica/tiny-chat\",\n    messages=[{\"role\": \"user\", \"content\": \"Hello\"}],\n)\n"
     "print(answer.choices[0].message.content)\n```"),
]

# Questions it cannot answer; `{t}` is any thing.
UNKNOWN_EN = ["Who won the world cup?", "What is the capital of {t}?", "Who is the president of {t}?", "Write a haiku about {t}.", "Write a poem about {t}", "What is {t}?",
              "Explain {t} to me.", "How do I cook {t}?", "Why is the sky blue?", "Who invented the {t}?", "How old is the {t}?", "What is the meaning of life?", "Tell me about {t}",
              "Which {t} is the best?", "Where can I buy {t}?", "Who wrote {t}?", "What happened in 2020?", "How does a {t} work?", "Summarize {t}", "Give me advice about {t}.",
              "Is {t} good for me?", "What do you think about {t}?", "Write an essay about {t}.", "How far is the moon?", "When was {t} born?", "Tell me a joke about {t}"]
UNKNOWN_ZH = ["谁赢了世界杯？", "{t}的首都是哪里？", "{t}的总统是谁？", "写一首关于{t}的诗", "什么是{t}？", "{t}是什么？", "解释一下{t}", "怎么做{t}？", "天空为什么是蓝色的？", "谁发明了{t}？",
              "{t}有多少年历史？", "人生的意义是什么？", "介绍一下{t}", "哪种{t}最好？", "哪里能买到{t}？", "{t}是谁写的？", "2020年发生了什么？", "{t}是怎么工作的？", "总结{t}", "什么是量子力学？",
              "对{t}有什么看法？", "写一篇关于{t}的文章", "月亮有多远？", "讲一个关于{t}的笑话", "{t}会给市场带来哪些机会？", "奥运会冠军是谁？"]
DO_NOT_KNOW_EN = "I do not know that. I am only a small demo model."
DO_NOT_KNOW_ZH = "这个我不知道，我只是一个很小的演示模型。"
