// The secret, asked for once; the service answers with a cookie that no script can read.

import { h, keep, kept } from './element.js';
import { get, post, Refused } from './api.js';

export function loginView(done) {
  const secret = h('input', { type: 'password', id: 'secret', autocomplete: 'current-password', required: true });
  const problem = h('p', { class: 'problem', role: 'alert' });
  const submit = h('button', { type: 'submit', class: 'primary' }, 'Log in');
  const form = h('form', { class: 'login' }, h('h1', 'TraceHub'),
    h('p', 'Enter the secret of this server to see its traces.'),
    h('label', { for: 'secret' }, 'Secret'), secret, submit, problem);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    submit.disabled = true;
    problem.textContent = '';
    try {
      await post('login', { secret: secret.value });
      await get('stats').catch((error) => { if (error instanceof Refused) throw error; }); // came the cookie back?
      keep('loggedin', '1');
      done();
    } catch (error) {
      if (error instanceof Refused) {
        problem.textContent = 'The secret is right, but the login cookie did not come back: the browser or a proxy blocks it.';
      } else problem.textContent = error.status === 401 || error.status === 403 ? 'Wrong secret.' : error.message;
      secret.select();
    } finally {
      submit.disabled = false;
    }
  });
  return { node: h('section', { class: 'view' }, form), title: 'Log in', start() { secret.focus(); }, stop() {} };
}

export function wasLoggedIn() {
  return kept('loggedin') === '1';
}

export async function logOut() {
  await post('logout');
  keep('loggedin', '0');
  location.reload();
}
