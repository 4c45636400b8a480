// A link may carry the token behind its #, which no browser sends to anybody: it is put into the form, and forgotten.

const given = new URLSearchParams(location.hash.slice(1));
if (given.has('token')) {
  history.replaceState(null, '', location.pathname);
  const [form] = document.forms;
  form.elements.officer.value = given.get('officer') ?? '';
  form.elements.token.value = given.get('token');
  form.requestSubmit();
}
