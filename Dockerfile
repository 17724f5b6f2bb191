# The page `emorph web` in a container. For processors:
#   docker build -t emorph . && docker run --rm -p 7860:7860 -e EMORPH_AUTH=lab:correcthorse emorph
# For NVIDIA GPUs (with their container toolkit), torch's own build brings CUDA:
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 -t emorph-cuda .
#   docker run --rm --gpus all -p 7860:7860 -e EMORPH_AUTH=lab:correcthorse emorph-cuda
FROM python:3.11-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

WORKDIR /emorph
COPY constraints.txt pyproject.toml README.md LICENSE ./
# torch first, in a layer of its own: it is the largest part, and changes least
RUN grep '^torch==' constraints.txt > torch.txt \
 && pip install --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple -r torch.txt
COPY src src
RUN pip install -c constraints.txt ".[web,heif]"

# Nobody needs to write anything but the temporary folder.
RUN useradd --create-home --uid 1000 user
USER user
WORKDIR /home/user
EXPOSE 7860
# Everybody who reaches the container reaches the page, so it asks for the password in EMORPH_AUTH, and does not start
# without one.
CMD ["emorph", "web", "--host", "0.0.0.0", "--port", "7860", "--no-browser"]
