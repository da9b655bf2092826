"""Text templates about a concept, in English and Chinese."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """Templates with ``{c}`` for the concept."""

    space: str
    sentences: tuple[str, ...]
    headings: tuple[str, ...]
    bullets: tuple[str, ...]
    titles: tuple[str, ...]
    summaries: tuple[str, ...]
    resources: tuple[str, ...]
    reasons: tuple[str, ...]
    questions: tuple[str, ...]
    options: tuple[str, ...]
    explanations: tuple[str, ...]
    exercises: tuple[str, ...]
    refusal: str


ENGLISH = Language(
    space=" ",
    sentences=(
        "{c} is easiest to understand by following one small example from beginning to end.",
        "Before reaching for {c}, write down what goes in, what comes out and what may fail.",
        "Most mistakes with {c} come from an assumption that was never written down.",
        "Read the error message first; with {c} it usually names the place and the value.",
        "A good habit is to change one thing at a time and to measure what it did.",
        "In production, {c} meets larger inputs, slower networks and colleagues in a hurry.",
        "The simplest version that works is the best place to start from.",
        "When two parts share state, {c} shows which of them owns it.",
        "Compare the result with what you expected, and explain the difference in one sentence.",
        "Keep the interface narrow: users of {c} should not need to know how it is done.",
        "Once the basics are in place, the rest of {c} is a matter of naming things well.",
        "Tests make {c} safe to change, because they say what must stay true.",
        "There is a cost to {c}, and it is worth knowing before it shows up in a bill.",
        "If you cannot draw {c} on a sheet of paper, take one part away and try again.",
    ),
    headings=(
        "What {c} is",
        "Why {c} matters",
        "A first example",
        "How {c} works inside",
        "Common mistakes",
        "{c} in practice",
        "Where to go from here",
    ),
    bullets=(
        "name the inputs of {c}",
        "check the edge cases first",
        "measure before you optimise",
        "write the result down",
        "ask what happens when it fails",
    ),
    titles=("{c}: a practical introduction", "Understanding {c}", "{c} step by step"),
    summaries=(
        "What {c} is, why it matters and how to use it, with one worked example.",
        "A short path through {c}: the idea, an example, the usual mistakes.",
    ),
    resources=(
        "{c}: the official guide",
        "{c} explained with pictures",
        "{c}: a hands-on course",
        "Notes on {c} from practice",
        "{c}: a reference to keep open",
        "Ten exercises on {c}",
    ),
    reasons=(
        "It introduces {c} from the very beginning and keeps the examples small.",
        "It shows {c} under real conditions, with its costs.",
        "Good for looking up the details of {c} once the idea is clear.",
    ),
    questions=(
        "Which statement about {c} is true?",
        "What should you do first when {c} does not behave as expected?",
        "What is the main purpose of {c}?",
        "Which of these is a common mistake with {c}?",
        "When is {c} the wrong choice?",
    ),
    options=(
        "It makes an assumption explicit that was hidden before",
        "It only works when nothing else is running",
        "It replaces the need for tests",
        "It should be measured before it is changed",
        "It has no cost at all",
        "It depends on the size of the input",
    ),
    explanations=(
        "{c} makes its assumptions explicit, and the other answers leave them hidden.",
        "The other answers describe what is often believed about {c}, not what can be shown.",
    ),
    exercises=(
        "Build the smallest example of {c} that you can run, and change one line of it.",
        "Explain {c} to a colleague in three sentences.",
        "Find a place in your own work where {c} is used, and write down what may fail.",
        "Measure {c} with an input ten times as large.",
    ),
    refusal="I'm sorry, but I can't help with {c}.",
)

CHINESE = Language(
    space="",
    sentences=(
        "理解{c}最容易的办法，是把一个小例子从头到尾走一遍。",
        "在使用{c}之前，先写下输入是什么、输出是什么、哪里可能出错。",
        "关于{c}的大多数错误，都来自从未写下来的假设。",
        "先读错误信息；在{c}里，它通常会指出位置和数值。",
        "一次只改一个地方，并且测量它带来的变化，是一个好习惯。",
        "在生产环境中，{c}会遇到更大的输入、更慢的网络和赶时间的同事。",
        "能工作的最简单版本，就是最好的起点。",
        "当两个部分共享状态时，{c}会告诉你谁拥有它。",
        "把结果和预期作比较，并用一句话解释其中的差别。",
        "接口要窄：使用{c}的人不需要知道它是怎样实现的。",
        "基础打好以后，{c}剩下的部分就是把名字起好。",
        "有了测试，修改{c}才是安全的，因为测试说明了什么必须保持不变。",
        "{c}是有代价的，最好在收到账单之前就知道。",
    ),
    headings=(
        "什么是{c}",
        "为什么需要{c}",
        "第一个例子",
        "{c}的内部原理",
        "常见错误",
        "{c}的实践",
        "下一步",
    ),
    bullets=("列出{c}的输入", "先检查边界情况", "先测量，再优化", "把结果记录下来"),
    titles=("{c}：实用入门", "理解{c}", "一步一步学习{c}"),
    summaries=("{c}是什么、为什么重要、如何使用，并附一个完整的例子。",),
    resources=(
        "{c}官方指南",
        "图解{c}",
        "{c}动手课程",
        "{c}实践笔记",
        "{c}参考手册",
        "{c}十道练习",
    ),
    reasons=("从零开始介绍{c}，例子都很小。", "在真实条件下展示{c}以及它的代价。"),
    questions=(
        "关于{c}，下面哪种说法是正确的？",
        "当{c}的表现与预期不符时，首先应该做什么？",
        "{c}的主要目的是什么？",
        "下面哪一项是使用{c}时的常见错误？",
    ),
    options=(
        "它把原来隐藏的假设明确写出来",
        "它只在没有其他程序运行时有效",
        "它可以代替测试",
        "修改之前应该先测量",
        "它没有任何代价",
    ),
    explanations=("{c}把假设明确写出来，而其他选项把它们隐藏了。",),
    exercises=(
        "写出一个能运行的最小的{c}例子，并修改其中一行。",
        "用三句话向同事解释{c}。",
        "用十倍大的输入测量{c}。",
    ),
    refusal="抱歉，我无法提供关于{c}的内容。",
)

_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def language_of(concept: str) -> Language:
    """The language to write in about a concept of this name."""
    return CHINESE if _CJK.search(concept) else ENGLISH
