"""The starter base: Qwen2-VL's architecture at a few million parameters."""

from typing import Any

import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.processing_utils import ProcessorMixin

from training.recipe import Architecture


def build(shape: Architecture, processor: ProcessorMixin) -> Qwen2VLForConditionalGeneration:
    """Makes an untrained model in float32 whose token ids are the processor's."""
    model = Qwen2VLForConditionalGeneration(_config(shape, processor))
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(0.0, shape.embedding_std)
    return model.float()


def _config(shape: Architecture, processor: ProcessorMixin) -> Qwen2VLConfig:
    tokenizer: Any = processor.tokenizer  # type: ignore[attr-defined]

    def token(text: str) -> int:
        return int(tokenizer.convert_tokens_to_ids(text))

    half = shape.width // shape.heads // 2
    temporal = half // 4
    spatial = (half - temporal) // 2
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": shape.width,
            "intermediate_size": shape.mlp_width,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.key_value_heads,
            "max_position_embeddings": shape.max_tokens,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": True,
            # The three parts of M-RoPE share half of a head's width.
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": shape.rope_theta,
                "mrope_section": [half - 2 * spatial, spatial, spatial],
            },
            "bos_token_id": token("<|endoftext|>"),
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
        },
        vision_config={
            "depth": shape.vision_layers,
            "embed_dim": shape.vision_width,
            "hidden_size": shape.width,
            "num_heads": shape.vision_heads,
            "mlp_ratio": 4,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    config._attn_implementation = "sdpa"
    return config
