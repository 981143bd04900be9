"""Attention over a packed row with shared prompts, registered with transformers by name.

On a GPU in half precision one variable-length kernel call serves all segments; elsewhere each
segment is one scaled_dot_product_attention call. Without a layout (generation, a plain forward)
the call goes to transformers' own SDPA attention.

Shapes: N packed tokens, H query heads, G key/value heads, D head size.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from trainer.packing import Layout

NAME = "seesaw_packed"


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed_layout: Layout | None = None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return the attention output (1, N, H, D) of query (1, H, N, D), key and value (1, G, N, D).

    The signature is the one that transformers' attention interface calls; `packed_layout`
    travels as a keyword argument through the model's forward.
    """
    if packed_layout is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return output, None
    for extra in ("softcap", "s_aux"):
        if kwargs.get(extra) is not None:
            raise ValueError(f"its attention needs {extra}, which packed attention does not know")
    # Under autocast, rotary embeddings leave query and key in fp32 beside a half-precision value.
    device = query.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else value.dtype
    query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    varlen = _varlen() if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) else None
    if varlen is None:
        return _segment_by_segment(query, key, value, packed_layout, scaling), None
    index_K = packed_layout.key_index_K
    output_NHD = varlen(
        query[0].transpose(0, 1).contiguous(),
        key[0].transpose(0, 1)[index_K],
        value[0].transpose(0, 1)[index_K],
        packed_layout,
        scaling,
    )
    return output_NHD.unsqueeze(0), None


def _segment_by_segment(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float | None
) -> Tensor:
    outputs = []
    for segment in range(len(layout.cu_queries) - 1):
        first, last = layout.cu_queries[segment], layout.cu_queries[segment + 1]
        index = layout.key_index_K[layout.cu_keys[segment] : layout.cu_keys[segment + 1]]
        n_queries, n_keys = last - first, len(index)
        square = n_queries == n_keys  # then the keys are the queries' own slice of the row
        outputs.append(
            scaled_dot_product_attention(
                query[:, :, first:last],
                key[:, :, first:last] if square else key[:, :, index],
                value[:, :, first:last] if square else value[:, :, index],
                attn_mask=None if square else causal_lower_right(n_queries, n_keys),
                is_causal=square,
                scale=scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        )
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous()


@functools.cache
def _varlen() -> Any:
    """Return a call of torch's variable-length attention, or None where torch has none.

    Its keyword arguments changed between torch 2.10 and 2.13, so they are read from the
    signature instead of the version.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    accepted = inspect.signature(varlen_attn).parameters

    def call(query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float | None) -> Any:
        causal: dict[str, Any] = (
            {"window_size": (-1, 0)} if "window_size" in accepted else {"is_causal": True}
        )
        if "enable_gqa" in accepted:
            causal["enable_gqa"] = query.shape[1] != key.shape[1]
        else:
            groups = query.shape[1] // key.shape[1]
            key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        if scale is not None and "scale" in accepted:
            causal["scale"] = scale
        elif scale is not None:  # the kernel divides by sqrt(D) itself
            query = query * (scale * query.shape[-1] ** 0.5)
        return varlen_attn(
            query,
            key,
            value,
            layout.cu_queries_S,
            layout.cu_keys_S,
            layout.max_queries,
            layout.max_keys,
            **causal,
        )

    return call


def _packed_mask(*args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:
    """Return no mask for a packed row (its layout says it all) and SDPA's mask for padding."""
    if attention_mask is None:
        return None
    mask: Tensor | None = sdpa_mask(*args, attention_mask=attention_mask, **kwargs)
    return mask


def register() -> str:
    """Make the attention known to transformers; return the name that loads it."""
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, _packed_mask)
    return NAME
