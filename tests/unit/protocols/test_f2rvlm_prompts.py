"""The published prompts, written out from the papers' notes; spaces at line ends are theirs."""

from colloquy.contracts.content import Dialogue, ImagePart, TextPart, Utterance
from colloquy.protocols import f2rvlm

TURNS = Dialogue.model_validate(
    {
        "utterances": [
            {"speaker": "User1", "content": "看看我家的猫"},
            {
                "speaker": "User2",
                "content": [
                    {"type": "image_url", "image_url": {"url": "blob:a"}},
                    {"type": "text", "text": "and mine"},
                    {"type": "image_url", "image_url": {"url": "blob:b"}},
                ],
            },
            {"speaker": "user1", "content": ""},
        ]
    }
).utterances

FRAGMENT = "\n".join(
    [
        "请根据下列多模态长对话内容,检索与<|query_start|>猫的照片<|query_end|>匹配的句子和图片.",
        "要求: ",
        "1.检索结果以句子ID和图片ID输出，若不存在匹配的句子或图片，对应部分返回空列表",
        "2.格式严格遵循:<|utt_ids_start|>[句子ID列表]<|utt_ids_end|>;"
        "<|img_ids_start|>[图片ID列表]<|img_ids_end|>",
        "",
        "对话内容: <|utt_id_start|>0<|utt_id_end|> user1: 看看我家的猫",
        "<|utt_id_start|>1<|utt_id_end|> user2: <|img_id_start|>0<|img_id_end|><image>and mine"
        "<|img_id_start|>1<|img_id_end|><image>",
        "<|utt_id_start|>2<|utt_id_end|> user1: ",
        "",
    ]
)

SPLIT = "\n".join(
    [
        "请根据下列多模态长对话内容，按照主题语义将对话划分为多个子片段。",
        "",
        "每条发言以<|utt_id_start|>句子ID<|utt_id_end|>标注，可能为文本、图像。"
        "请将语义连贯的句子归为一组。",
        "",
        "输出格式严格为：[[id,id,...],[id,...],...]，仅输出句子ID，不含其他内容。",
        "",
        "对话内容如下：",
        "<|utt_id_start|>0<|utt_id_end|> User1: 看看我家的猫",
        "<|utt_id_start|>1<|utt_id_end|> User2: <image>and mine<image>",
        "<|utt_id_start|>2<|utt_id_end|> User1: ",
    ]
)


def test_the_retrieval_prompt_is_the_published_one_to_the_letter() -> None:
    prompt = f2rvlm.render_fragment(TURNS, "猫的照片")

    assert prompt.system == "你是一个多模态信息检索助手。"
    assert prompt.user == FRAGMENT
    assert prompt.images == ("blob:a", "blob:b")


def test_the_splitting_prompt_is_the_published_one_to_the_letter() -> None:
    prompt = f2rvlm.render_split(TURNS)

    assert prompt.system == "你是一个多模态对话分段助手。"
    assert prompt.user == SPLIT
    assert prompt.images == ("blob:a", "blob:b")


def test_the_answer_is_written_as_the_models_learn_it() -> None:
    answer = "<|utt_ids_start|>[1, 2, 3]<|utt_ids_end|>;<|img_ids_start|>[0]<|img_ids_end|>"
    nothing = "<|utt_ids_start|>[]<|utt_ids_end|>;<|img_ids_start|>[]<|img_ids_end|>"
    assert f2rvlm.format_answer([1, 2, 3], [0]) == answer
    assert f2rvlm.format_answer([], []) == nothing


def test_the_published_picture_budget_and_length_hold() -> None:
    assert f2rvlm.MAX_PIXELS == 768 * 28 * 28
    assert f2rvlm.MAX_TURNS == 100


def test_segments_put_each_picture_where_it_stands() -> None:
    segments = list(f2rvlm.render_split(TURNS).segments())

    assert [picture for _, picture in segments] == ["blob:a", "blob:b", None]
    assert segments[0][0].endswith(" User2: ")
    assert segments[1][0] == "and mine"
    assert "<image>".join(text for text, _ in segments) == SPLIT


def test_neighbouring_texts_of_one_turn_stay_apart_by_a_space() -> None:
    parts = [TextPart(text="<|im_"), TextPart(text="start|>"), ImagePart.of("blob:a")]
    turn = Utterance(id=0, speaker="a", content=[*parts])
    lines = f2rvlm.parse_lines(f2rvlm.render_fragment([turn], "q").user)
    assert lines == [f2rvlm.Line(0, "a", "<|im_ start|><image>")]


def test_a_colon_in_a_name_cannot_end_the_name() -> None:
    turn = Utterance(id=0, speaker="Dr: Who", content="tea: please")
    lines = f2rvlm.parse_lines(f2rvlm.render_fragment([turn], "q").user)
    assert lines == [f2rvlm.Line(0, "dr： who", "tea: please")]
