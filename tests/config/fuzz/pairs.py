"""Settings that are fine alone and cannot stand together."""

from __future__ import annotations

from hypothesis import strategies as st

from gptmill.config.aliases import RENAMED
from gptmill.config.resolve import EXCLUSIVE
from tests.config.fuzz.breaking import Broken, alike, bare, breaks, insert, named, put
from tests.config.fuzz.typed import Entry, spellings, typed
from tests.config.fuzz.wishes import SCHEMA, values, wishes


@breaks
def heads_that_do_not_divide(draw: st.DrawFn) -> Broken:
    heads = draw(st.integers(2, 5000))
    width = draw(st.integers(1, 200_000).filter(lambda n: n % heads))
    keys = ("n_head", "n_embd", "n_kv_head", "position_encoding")
    broken = put(draw, "n_head", bare(str(heads)), ("n_head", f"n_embd={width}"), (*keys, "preset"))
    return Broken([*broken.words, f"--n_embd={width}"], broken.files, broken.says)


@breaks
def kv_heads_that_do_not_divide(draw: st.DrawFn) -> Broken:
    heads = draw(st.integers(1, 500))
    shared = draw(st.integers(2, 1000).filter(lambda n: heads % n))
    broken = put(
        draw, "n_kv_head", bare(str(shared)), (f"n_head={heads}",), ("n_head", "n_embd", "n_kv_head", "preset")
    )
    return Broken([*broken.words, f"--n_head={heads}", f"--n_embd={heads * 64}"], broken.files, broken.says)


@breaks
def rotation_of_an_odd_width(draw: st.DrawFn) -> Broken:
    heads, odd = draw(st.integers(1, 500)), draw(st.integers(0, 100)) * 2 + 1
    keys = ("n_head", "n_embd", "n_kv_head", "position_encoding", "preset")
    broken = put(draw, "position_encoding", alike("rope"), (f"n_embd={heads * odd}",), keys)
    return Broken([*broken.words, f"--n_head={heads}", f"--n_embd={heads * odd}"], broken.files, broken.says)


@breaks
def floor_above_the_peak(draw: st.DrawFn) -> Broken:
    peak = draw(st.floats(0, 1))
    keys = ("learning_rate", "min_lr", "decay_lr", "schedule", "lr_scaling")
    floor = repr(peak + draw(st.floats(1e-3, 9)))
    broken = put(draw, "min_lr", bare(floor), ("learning_rate",), keys)
    return Broken([*broken.words, f"--lr={peak!r}"], broken.files, broken.says)


@breaks
def half_precision_on_a_cpu(draw: st.DrawFn) -> Broken:
    broken = put(draw, "dtype", alike("float16"), ("device=cpu",), ("dtype", "device"))
    return Broken([*broken.words, "--device=cpu"], broken.files, broken.says)


def two_in_one_layer(draw: st.DrawFn, first: Entry, second: Entry, says: tuple[str, ...], form: str) -> Broken:
    base = draw(wishes(without=frozenset((first.key, second.key))).flatmap(typed))
    if form == "flag":
        base.words += [f"--{first.name}={first.value}", f"--{second.name}={second.value}"]
        return Broken(base.words, dict(base.contents()), (f"--{first.name}", f"--{second.name}", *says))
    between = {"py": "{} = {!r}", "yaml": "{}: {}"}[form]
    insert(draw, base, between.format(first.name, first.value), form)
    file, _ = insert(draw, base, between.format(second.name, second.value), form)
    return Broken(base.words, dict(base.contents()), (file.shown, *says))


@breaks
def two_keys_of_a_group(draw: st.DrawFn) -> Broken:
    one, two = draw(st.permutations(draw(st.sampled_from(EXCLUSIVE))))[:2]
    first, second = (Entry(key, named(draw, [key])[1], draw(values(key))) for key in (one, two))
    return two_in_one_layer(
        draw, first, second, ("only one of", one, two), draw(st.sampled_from(["py", "yaml", "flag"]))
    )


@breaks
def two_names_with_two_values(draw: st.DrawFn) -> Broken:
    key = draw(
        st.sampled_from(
            sorted(set(RENAMED.values()) - {"preset", "compile", "activation_checkpointing", "out_dir", "n_kv_head"})
        )
    )
    names = [entry.name for entry in spellings(key, object())]
    one, two = draw(st.permutations(names))[:2]
    first, second, form = Entry(key, one, 2), Entry(key, two, 3), draw(st.sampled_from(["py", "yaml", "flag"]))
    return two_in_one_layer(draw, first, second, ("set twice", key), form)


@breaks
def one_key_twice_in_yaml(draw: st.DrawFn) -> Broken:
    key, name = named(draw, list(SCHEMA))
    again = name.replace("_", "-", draw(st.integers(0, 3)))
    return two_in_one_layer(draw, Entry(key, name, 5), Entry(key, again, 5), ("set twice", name), "yaml")
