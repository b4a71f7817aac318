"""What providers say in words of their own: too long a brief, an empty account, a model's trouble.

The phrases are those that servers which speak OpenAI's or Anthropic's API, and bridges before them,
really send. What they have in common is looked for, so that the next wording is known too.
"""

import re

from meeting_service.gateways.asked_waits import MAX_READ_CHARACTERS

_QUOTA = re.compile(
    r"insufficient[ _](?:account )?(?:balance|quota|credits?|funds)"
    r"|(?:balance|credits?|quota)\b[^.]{0,30}\b(?:too low|exhausted|depleted|used up|run out"
    r"|negative|not enough|insufficient)"
    r"|(?:exceeded|exhausted|used up|used all|(?:run|ran) out|out of)\b[^.]{0,30}"
    r"\b(?:quota|credits?|balance)\b"
    r"|not enough (?:balance|credits?|quota)|more credits|spending limit"
    r"|\bno (?:remaining |more |available )?(?:quota|credits?|balance)\b"
    r"|usage limits?\b[^.]{0,30}\. You will regain|free tier\b[^.]{0,40}\bexhausted"
    r"|over budget|budget has been exceeded"
    r"|account\b[^.]{0,80}\b(?:suspended|not active|in arrears|overdue|good standing)"
    r"|billing (?:details|hard limit)|credit limit (?:exceeded|reached)|payment required"
    r"|欠费|(?:余额|额度|配额)(?:不足|已?用[尽完]|已?耗尽)",
    re.IGNORECASE,
)
_PER_TIME = re.compile(r"(?<![a-z])per[ _-]?(?:second|minute|min|hour)|\b[TR]PM\b", re.IGNORECASE)
# Too long a brief is said in many words; all of them name what is long, its measure, and a bound.
_CONTEXT_SUBJECT = re.compile(
    r"\b(?:context|prompt|inputs?|sequence|messages?|conversation)\b|`inputs`"
    r"|\b(?:number of|count of|total|too many) tokens\b|\btoken (?:count|limit)\b"
    r"|\brequest\b.*\btokens?\b|\btokens?\b.*\brequest\b",
    re.IGNORECASE | re.DOTALL,
)
_CONTEXT_MEASURE = re.compile(
    r"tokens?\b|\blength\b|\blong|\bcontext\b|\bwindow\b|\bsize\b|\blarge\b", re.IGNORECASE
)
_CONTEXT_BOUND = re.compile(
    r"\bexceed|\btoo (?:long|large|many)\b|\b(?:longer|greater|larger|more) than\b|\bmaximum\b"
    r"|\bat most\b|\blimit\b|<=|\bmust (?:be|have) (?:less|fewer|below)|\bfit\b|\bover\b"
    r"|\bonly supports\b|\bmax_model_len\b|\breduce\b|\brange of\b|\bnot enough\b"
    r"|\breached\b|\boverflow|\blimited to\b",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"\bcontext_(?:length|window)_exceeded\b|\bContextWindowExceeded|\bexceed_context_size"
    r"|\bcontext shift is disabled\b|\bexpected maxLength: \d+, actual: \d+"
    r"|(?:prompt|输入|上下文|提示词|内容|消息|tokens?)[^。;]{0,20}(?:超长|过长|超出|超过)",
    re.IGNORECASE,
)
# A model may be called by any of these words.
_NAME_OF_MODEL = re.compile(
    r"\bmodels?\b[\s:='\"`(]*[\w./:@-]*[-/:@\d][\w./:@-]*['\"`]?", re.IGNORECASE
)
_NOT_CONTEXT = re.compile(
    r"\bper[ -](?:minute|hour|day|second|month)\b|\brate[ _-]?limit|\bquota\b|\bTPM\b|\bRPM\b"
    r"|\bnumber of messages\b|\b(?:hourly|daily|weekly|monthly)\b",
    re.IGNORECASE,
)
# Tokens that let somebody in have a length, too; so have the headers that they stand in.
_ABOUT_ACCESS = re.compile(
    r"\bauthori[sz]ation\b|\bauthentication\b|\bcredentials?\b|\bheaders?\b|\bcookies?\b|\bjwt\b"
    r"|\b(?:api|access|auth|bearer|id|identity|refresh|session|csrf|security|oauth2?)"
    r"[ _-]?(?:tokens?|keys?)\b|鉴权|认证|令牌|密钥|请求头",
    re.IGNORECASE,
)
_ABOUT_TALK = re.compile(
    r"context|prompt|messages\b|conversation|上下文|提示词|输入|消息", re.IGNORECASE
)
_ABOUT_CAP = re.compile(
    r"\bmax(?:imum)?_(?:completion_|output_|new_)?tokens\b|\b(?:completion|output) tokens\b",
    re.IGNORECASE,
)
_ABOUT_BRIEF = re.compile(
    r"\b(?:context|prompt|inputs?|messages|conversation|sequence)\b", re.IGNORECASE
)
# Only one model's, not "all models" and not "the model server".
_THE_MODEL = r"(?<!all )\bmodel\b(?! (?:servers?|services?|gateways?|providers?|api|backends?)\b)"
_ONE_MODEL = re.compile(
    rf"{_THE_MODEL}[^.;]{{0,80}}\b(?:overloaded|not found|unavailable|not available|loading|busy"
    r"|not loaded|does not exist|at capacity|no capacity|not ready|not running|not deployed|crashed"
    r"|high demand|are down|is down|failed|starting|scaling)\b"
    r"|\bno (?:\w+ )?(?:channels?|instances?|deployments?|endpoints?|providers?|backends?|workers?"
    rf"|replicas?|servers?|nodes?)\b[^;]{{0,60}}{_THE_MODEL}"
    r"|\b(?:replicas|instances|workers|deployments) of (?:the|this) model\b"
    r"|无可用渠道|模型[^。;]{0,80}(?:不可用|不存在|过载|繁忙|未找到|加载)",
    re.IGNORECASE,
)


def says_out_of_quota(message: str) -> bool:
    """Return whether a text says that an account is empty, not that a limit a minute is reached."""
    message = message[:MAX_READ_CHARACTERS]
    return _QUOTA.search(message) is not None and not _PER_TIME.search(message)


def says_too_long(message: str, model: str) -> bool:
    """Return whether a text says that a brief is too long for a model."""
    message = without_model(message[:MAX_READ_CHARACTERS], model)
    if _ABOUT_ACCESS.search(message) and not _ABOUT_TALK.search(message):
        return False
    if _TOO_LONG.search(message):
        return True
    if _NOT_CONTEXT.search(message):
        return False
    if _ABOUT_CAP.search(message) and not _ABOUT_BRIEF.search(message):
        return False
    return bool(
        _CONTEXT_SUBJECT.search(message)
        and _CONTEXT_MEASURE.search(message)
        and _CONTEXT_BOUND.search(message)
    )


def without_model(message: str, model: str = "") -> str:
    """Return a text without the name of a model in it, which may hold any word."""
    if model and not model.isalpha():
        message = re.sub(_whole(model), "", message, flags=re.IGNORECASE)
    return _NAME_OF_MODEL.sub("model ", message)


def says_one_model(message: str, model: str) -> bool:
    """Return whether a text is about one model, most likely `model`, not about a whole server."""
    message = message[:MAX_READ_CHARACTERS]
    return _names(message, model) or _ONE_MODEL.search(message) is not None


def _names(message: str, model: str) -> bool:
    """Return whether a text names a model; one that is called like a word, only as a model."""
    if not model:
        return False
    name = _whole(model)
    if model.isalpha():
        name = rf"\b(?:model|deployment|engine)s?\b[\s:='\"`]*{name}|(?P<q>['\"`]){name}(?P=q)"
    return re.search(name, message, re.IGNORECASE) is not None


def _whole(name: str) -> str:
    return rf"(?<![\w-]){re.escape(name)}(?![\w-])"
