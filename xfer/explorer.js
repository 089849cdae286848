// The explorer's screen: an image that shows the unmoved identity while held, the driver's face
// beside it, and the browser's own camera.
const EDGE = 320; // of the frames that are sent, in pixels
const MOST = 2; // frames under way

function render({ model, el }) {
  el.innerHTML = `
    <div style="width:512px;max-width:100%">
      <div style="position:relative">
        <img class="xfer-image" alt="synthetic face" draggable="false"
             style="width:100%;aspect-ratio:1;background:#222;touch-action:none;cursor:pointer">
        <img class="xfer-driver" alt="driver" hidden
             style="position:absolute;right:4px;top:4px;width:25%;border:2px solid #e8833a">
        <video class="xfer-video" muted playsinline hidden style="position:absolute;right:4px;top:4px;
             width:25%;aspect-ratio:1;object-fit:cover;border:2px solid #e8833a"></video>
      </div>
      <div style="display:flex;gap:8px;align-items:center;min-height:32px">
        <button class="xfer-camera jupyter-button">camera on</button>
        <span class="xfer-rate"></span><span>synthetic; hold the image to compare</span>
      </div>
      <div class="xfer-text" role="status"
           style="white-space:pre-wrap;font-family:monospace;min-height:9em"></div>
    </div>`;
  const find = (name) => el.querySelector(".xfer-" + name);
  const [image, driver, video] = [find("image"), find("driver"), find("video")];
  const [button, rate, text] = [find("camera"), find("rate"), find("text")];
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = EDGE;
  let stream = null, live = null, held = false, next = 0, sent = new Map(), times = [];

  function put(img, bytes) {
    if (img.src) URL.revokeObjectURL(img.src);
    if (bytes?.byteLength) img.src = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
  }
  function update() {
    put(image, held ? model.get("unmoved") : (stream && live) || model.get("image"));
    video.hidden = !stream;
  }
  function updateDriver() {
    put(driver, model.get("driver"));
    driver.hidden = Boolean(stream) || !model.get("driver").byteLength;
  }
  const updateText = () => { text.textContent = model.get("text"); };

  async function start() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
    } catch (error) {
      text.textContent = "A camera is required and cannot be used: " + error.message;
      return;
    }
    video.srcObject = stream;
    await video.play();
    button.textContent = "camera off";
    sent.clear(); times = []; live = null;
    model.send({ kind: "begin" });
    update(); updateDriver();
    capture();
  }

  function stop() {
    stream.getTracks().forEach((track) => track.stop());
    stream = null;
    button.textContent = "camera on"; rate.textContent = "";
    model.send({ kind: "end" });
    update(); updateDriver();
  }

  function capture() {
    if (!stream) return;
    if (sent.size < MOST && video.videoWidth) {
      const edge = Math.min(video.videoWidth, video.videoHeight);
      const x = (video.videoWidth - edge) / 2, y = (video.videoHeight - edge) / 2;
      canvas.getContext("2d").drawImage(video, x, y, edge, edge, 0, 0, EDGE, EDGE);
      const id = next++, at = performance.now();
      sent.set(id, at);
      canvas.toBlob(async (blob) => {
        model.send({ kind: "frame", id, seconds: at / 1000 }, undefined, [await blob.arrayBuffer()]);
      }, "image/jpeg", 0.8);
    }
    setTimeout(capture, 15);
  }

  function receive(message, buffers) {
    const began = sent.get(message.id), now = performance.now();
    if (!sent.delete(message.id) || !stream || !buffers.length) return;
    live = buffers[0];
    update();
    times = [...times, now].filter((t) => now - t < 2000);
    rate.textContent = `${Math.round(now - began)} ms, ${(times.length / 2).toFixed(1)} a second`;
    el.dispatchEvent(new CustomEvent("xfer-live", { bubbles: true, detail: now - began }));
  }

  const hold = (on) => () => { if (held !== on) { held = on; update(); } };
  image.addEventListener("pointerdown", hold(true));
  for (const name of ["pointerup", "pointerleave", "pointercancel"])
    image.addEventListener(name, hold(false));
  button.addEventListener("click", () => (stream ? stop() : start()));
  const events = [
    ["change:image", update], ["change:text", updateText], ["change:driver", updateDriver],
    ["msg:custom", receive],
  ];
  for (const [event, act] of events) model.on(event, act);
  update(); updateDriver(); updateText();
  return () => {
    if (stream) stop();
    for (const [event, act] of events) model.off(event, act);
  };
}

export default { render };
