{#- Fails for rows that the tap has read and that are not in the tables. -#}
{{ config(enabled=is_loaded('import_jobs') or is_loaded('user_import_jobs')) }}

{%- set imported = '(gaps > 0 or (loaded = 0 and reported > 0))' -%}
{%- set failed = '(failed_gaps > 0 or (failed_loaded = 0 and failed > 0))' -%}
{%- set query %}
with jobs as (

    select * from {{ ref('fullstory_imports__jobs') }}

)

select
    'Job ' || job_id || ' of ' || kind || ':'
    || case when {{ imported }} then ' ' || loaded || ' of ' || coalesce(reported, 0) || ' rows are loaded, with ' || gaps || ' gaps.' else '' end
    || case when {{ failed }} then ' ' || failed_loaded || ' of ' || coalesce(failed, 0) || ' failed rows are loaded, with ' || failed_gaps || ' gaps.' else '' end
        as problem
from jobs
where is_finished
    and not is_accepted
    and ({{ imported }} or {{ failed }})
{%- endset %}

{{ naming_problems(query) }}
