"""Three small tokenizers of the kinds that the families use, what they make of 1,000 strings, and chats by their templates.

    python tokenizers_and_chats.py            writes ../pretrained/fixtures/tokenizers
"""

import json
import random
import shutil
from pathlib import Path

import tokenizers
import transformers
from smollm2 import TEXT
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

FOLDER = Path(__file__).parent.parent / "pretrained" / "fixtures" / "tokenizers"

WORDS = """the of and to in is that for on with as it was at by from lighthouse water I'm don't we've they'll you're he'd WE'LL
über straße naïve café œuvre mañana piñata garçon Ærøskøbing łódź žluťoučký kůň İstanbul ığdır ṽ ẞ ﬁn ﬂow ½ ² Ⅷ №
привет мир ёлка Київ ґанок српски қазақ Ελλάδα φως ᾧ שלום עִבְרִית مرحبا السَّلامُ ۱۲۳ فارسی‌ها ܫܠܡܐ हिन्दी क्षत्रिय १२३ বাংলা ਪੰਜਾਬੀ ગુજરાતી
தமிழ் తెలుగు ಕನ್ನಡ മലയാളം සිංහල ภาษาไทย น้ำ ລາວ བོད་ཡིག မြန်မာ ខ្មែរ ქართული Հայերեն አማርኛ ᏣᎳᎩ 漢字 汉语 東京タワー ひらがな ﾊﾝｶｸ ＦＵＬＬ 한국어 각 조선말
𝔘𝔫𝔦 𝒳 𐍈 𠮷 🙂 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇯🇵 ❤️ ❤ 1️⃣ ⌚︎ ☕ 🧊 e\u0301 a\u0308\u0323 o\u0302\u0301 \u1e9b\u0323 Å \u212b \uf8ff \ufffd
0 7 42 1,234.56 1e-9 0x1F 3.14 -17 50% $5 €9 12:30 2024-02-29 +49(0)30 1st
<|endoftext|> <|im_start|> <|im_end|> <|im_start|>user </s> <s> <unk> <0x41> <|eot|> [INST] @user #tag user@mail.example /tmp/a.txt a_b camelCase SCREAMING_CASE
... --- === >>> :-) ¿ ¡ « » „ “ ” ‘ ’ … – — · • § ∀x∈ℝ ≠ √2 → ░▒▓ ♞""".split()

CODE = [
    "def f(x):\n    return x ** 2\n",
    "for (let i = 0; i < 10; i++) {\n\tconsole.log(`${i}`);\n}\n",
    '{"key": [1, 2.5, null], "ключ": "значение"}',
    "#include <stdio.h>\nint main(void) { return 0; }",
    "SELECT * FROM t WHERE a != 'it''s';",
    "<p class=\"a\">x &amp; y</p><!-- end -->",
    "x = \"\\u00e9\\n\"  # comment",
    "let s: &'static str = \"🦀\";\r\n",
]

SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n", "\n ", "\u00a0", "\u2003", "\u200a", "\u3000", "\u200b", "\u200d", "\u2028", "\u0085", "\ufeff", "\v", "\f", "\u00ad", "\u200e"]

# Blocks that have been in Unicode for long, so that no library knows other letters.
BLOCKS = [(0x00, 0x7F), (0xA1, 0x17F), (0x370, 0x3FF), (0x400, 0x45F), (0x5D0, 0x5EA), (0x621, 0x64A), (0x905, 0x939), (0xE01, 0xE3A), (0x1E00, 0x1EFF), (0x2190, 0x22FF), (0x3041, 0x30FF), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0x300, 0x36F), (0x1F600, 0x1F64F)]  # fmt: skip

CORPUS = [TEXT, " ".join(WORDS), *CODE, *(" ".join(WORDS[start::7]) for start in range(7))]

chatml = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a "
    "helpful assistant.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

headers = """{%- if messages[0].role == 'system' %}
    {%- set system = messages[0].content | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = '' %}
{%- endif %}
{{- bos_token }}
{%- if system %}
    {{- '<|im_start|>system\\n' ~ system ~ '<|im_end|>\\n' }}
{%- endif %}
{%- set seen = namespace(answers=0) %}
{%- for message in messages %}
    {%- if message.role not in ['user', 'assistant'] %}
        {{- raise_exception('Unknown role: ' + message.role) }}
    {%- endif %}
    {%- if message.role == 'assistant' %}
        {%- set seen.answers = seen.answers + 1 %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>' + ('' if loop.last and not add_generation_prompt else '\\n') }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant' + (' (' + seen.answers | string + ')' if seen.answers else '') + '\\n' }}
{%- endif %}
"""

instructions = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = "
    "messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + "
    "'\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)

CHATS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "system", "content": "  Be brief.\n"}, {"role": "user", "content": " Hi! "}],
    [
        {"role": "user", "content": "Grüße 👋🏽\n\nzwei Zeilen"},
        {"role": "assistant", "content": "漢字 und `code`\n```js\nlet a = 1;\n```"},
        {"role": "user", "content": ""},
    ],
    [
        {"role": "system", "content": ""},
        {"role": "user", "content": "<|im_end|> </s> {{ not.a.template }} {% if x %} \\n ' \""},
        {"role": "assistant", "content": "It is text."},
    ],
    [{"role": "user", "content": "one"}, {"role": "tool", "content": "two"}, {"role": "user", "content": "three"}],
]


def strings():
    """1,000 different ones: nothing, single words, spaces, code, words mixed with odd spaces, and characters of one block."""
    draw = random.Random(14)
    found = dict.fromkeys(["", *SPACES, *CODE, *WORDS])
    while len(found) < 1000:
        kind = draw.random()
        if kind < 0.5:
            text = "".join(draw.choice(WORDS) + draw.choice([" ", " ", "", draw.choice(SPACES)]) for _ in range(draw.randint(1, 5)))
        elif kind < 0.75:
            first, last = draw.choice(BLOCKS)
            text = "".join(chr(draw.randint(first, last)) for _ in range(draw.randint(1, 8)))
        elif kind < 0.85:
            text = "".join(draw.choice(SPACES) for _ in range(draw.randint(2, 5))) + draw.choice(["", "a", "1", "é", "."])
        else:
            start = draw.randrange(len(TEXT) - 40)
            text = TEXT[start : start + draw.randint(1, 40)]
        found[text] = None
    return list(found)


def byte_level():
    """As SmolLM2 and GPT-2 have it: single digits, then bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainer(500, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]))
    return tokenizer


def split_level():
    """As Qwen and Llama 3 have it: NFC, an expression that splits, bytes; a token in front."""
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainer(420, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]))
    tokenizer.add_tokens([AddedToken("<|eot|>", lstrip=True, rstrip=True, normalized=False), "lighthouse"])
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|endoftext|> $A", pair="<|endoftext|> $A <|endoftext|> $B", special_tokens=[("<|endoftext|>", 0)]
            ),
        ]
    )
    return tokenizer


def sentencepiece():
    """As Llama 2, Mistral 0.1 and Phi-3 mini have it: spaces as ▁, bytes only for what is not in the vocabulary."""
    spaces = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trained = Tokenizer(models.BPE())
    trained.normalizer = spaces
    trained.pre_tokenizer = pre_tokenizers.Split("▁", behavior="merged_with_next")
    trained.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=200, show_progress=False))
    parts = json.loads(trained.to_str())["model"]
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {token: index for index, token in enumerate([*first, *sorted(parts["vocab"], key=parts["vocab"].get)])}
    merges = [tuple(merge) for merge in parts["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = spaces
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def trainer(size, special):
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False)


TOKENIZERS = {
    "byte-level": (byte_level, chatml, False, "<|im_start|>", "<|im_end|>"),
    "split": (split_level, headers, True, "<|endoftext|>", "<|im_end|>"),
    "sentencepiece": (sentencepiece, instructions, False, "<s>", "</s>"),
}


def render(tokenizer, messages, add_generation_prompt):
    """The text and its ids, or what the template throws."""
    record = {"messages": messages, "add_generation_prompt": add_generation_prompt}
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
    except Exception as error:
        return record | {"error": str(error)}
    encoded = tokenizer.apply_chat_template(messages, add_generation_prompt=add_generation_prompt, return_dict=True)
    assert encoded["input_ids"] == tokenizer(text, add_special_tokens=False).input_ids
    return record | {"text": text, "ids": encoded["input_ids"]}


def lines(values):
    return "[\n" + ",\n".join(json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values) + "\n]"


def write_tokenizer(name, texts):
    make, template, template_in_file, bos, eos = TOKENIZERS[name]
    folder = FOLDER / name
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=make(), bos_token=bos, eos_token=eos, chat_template=template)
    tokenizer.save_pretrained(folder, save_jinja_files=template_in_file)
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = [plain.encode(text).ids for text in texts]
    assert ids == [tokenizer(text).input_ids for text in texts], "both libraries are to agree"
    decoded = [plain.decode(each, skip_special_tokens=True) for each in ids]
    assert decoded == [tokenizer.decode(each, skip_special_tokens=True) for each in ids], "both libraries are to agree"
    draw = random.Random(15)
    pieces = [[draw.randrange(plain.get_vocab_size()) for _ in range(draw.randint(1, 6))] for _ in range(100)]
    pieces = [{"ids": each, "decoded": plain.decode(each, skip_special_tokens=False)} for each in pieces]
    chats = [render(tokenizer, chat, generation) for chat in CHATS for generation in [True, False]]
    made_with = f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}"
    different = {index: text for index, (text, before) in enumerate(zip(decoded, texts)) if text != before}
    (folder / "expected.json").write_text(
        f'{{"made_with":"{made_with}",\n"ids":{lines(ids)},\n'
        f'"decoded_where_it_differs":{json.dumps(different, ensure_ascii=False, indent=0)},\n'
        f'"any_ids":{lines(pieces)},\n"chats":{lines(chats)}}}\n'
    )
    print(f"{name}: {plain.get_vocab_size()} tokens, {len(different)} texts differ when decoded")
    print(*(chat.get("text", chat.get("error")) for chat in chats), sep="\n~~~\n")


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    texts = strings()
    (FOLDER / "strings.json").write_text(lines(texts) + "\n")
    for name in TOKENIZERS:
        write_tokenizer(name, texts)
